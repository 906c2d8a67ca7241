//! The ranks of MPI.

use std::sync::atomic::Ordering;

use em_routing::data::Team;
use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, Destination as _, Root as _, Source as _};

use super::super::failure::{Failure, Outcome};
use super::SENT;

/// MPI counts the bytes of a message in 31 bits: longer ones are sent in pieces.
const PIECE: usize = 1 << 30;

/// All ranks.
pub struct World {
    universe: Option<Universe>,
    rank: usize,
    size: usize,
}

impl World {
    pub fn join() -> Outcome<World> {
        // one thread at a time calls MPI: the one that runs the fit, which may be a thread of a pool
        let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)
            .ok_or_else(|| Failure::new("MPI is initialised already"))?;
        if threading < Threading::Serialized {
            return Err(Failure::new("this MPI library does not support threads (MPI_THREAD_SERIALIZED)"));
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(World { universe: Some(universe), rank, size })
    }
}

impl Drop for World {
    /// Waits for the other ranks. After a panic they would wait for this one: it ends without them, and `mpirun` ends them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.universe.take());
        }
    }
}

fn count(bytes: usize) {
    SENT.fetch_add(bytes as u64, Ordering::Relaxed);
}

impl Team for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn send(&self, to: usize, bytes: &[u8]) {
        let world = SimpleCommunicator::world();
        let to = world.process_at_rank(to as i32);
        to.send(&(bytes.len() as u64));
        bytes.chunks(PIECE).for_each(|piece| to.send(piece));
        count(8 + bytes.len());
    }

    fn receive(&self, from: usize) -> Vec<u8> {
        let world = SimpleCommunicator::world();
        let from = world.process_at_rank(from as i32);
        let mut bytes = vec![0; from.receive::<u64>().0 as usize];
        for piece in bytes.chunks_mut(PIECE) {
            from.receive_into(piece);
        }
        bytes
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) {
        let world = SimpleCommunicator::world();
        let first = world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        first.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        bytes.chunks_mut(PIECE).for_each(|piece| first.broadcast_into(piece));
        if self.rank == 0 {
            count((self.size - 1) * (8 + bytes.len()));
        }
    }
}
