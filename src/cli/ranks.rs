//! The processes of a fit: one, or the ranks that `mpirun` has started (feature `mpi`).
//!
//! Each stage of the command ends with [`Ranks::agree`]: all ranks go on, or all end, and one of them says why.

#[cfg(feature = "mpi")]
mod world;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use em_routing::data::{Rows, Shared, Team};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{Failure, Outcome};
use super::progress;

/// The bytes that this rank has sent.
static SENT: AtomicU64 = AtomicU64::new(0);

/// The processes of a fit.
pub struct Ranks {
    /// None for one process.
    team: Option<Box<dyn Team>>,
}

impl Ranks {
    /// Meets the other ranks if `mpirun` has started this process. All ranks except the first are silent from here on.
    pub fn join() -> Outcome<Ranks> {
        let number = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
        // as Open MPI, MPICH and Slurm tell a process
        let size: Option<usize> = number(&["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"]);
        let rank: Option<usize> = number(&["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"]);
        if size.is_none_or(|size| size < 2) {
            return Ok(Ranks { team: None });
        }
        if rank.is_some_and(|rank| rank > 0) {
            progress::be_silent();
        }
        Ranks::meet()
    }

    #[cfg(feature = "mpi")]
    fn meet() -> Outcome<Ranks> {
        let team: Box<dyn Team> = Box::new(world::World::join()?);
        say!("  {} ranks share the rows", team.size());
        Ok(Ranks { team: Some(team) })
    }

    #[cfg(not(feature = "mpi"))]
    fn meet() -> Outcome<Ranks> {
        match progress::is_silent() {
            true => Err(Failure::elsewhere()),
            false => Err(Failure::new("mpirun has started several processes, but this program has no MPI")
                .mend("build it with: cargo build --release --features mpi")),
        }
    }

    /// Returns the ranks, or None for one process.
    fn team(&self) -> Option<&dyn Team> {
        self.team.as_deref()
    }

    /// Returns the number of this process, and the number of processes.
    pub fn place(&self) -> (usize, usize) {
        self.team().map_or((0, 1), |team| (team.rank(), team.size()))
    }

    /// Whether this process writes the files and speaks to the user.
    pub fn is_first(&self) -> bool {
        self.place().0 == 0
    }

    /// Returns the table as one that the ranks share.
    pub fn share<'a>(&'a self, rows: &'a dyn Rows) -> Shared<'a> {
        Shared { rows, team: self.team() }
    }

    /// Returns the outcome if all ranks have succeeded. Otherwise returns an error on all ranks: the first rank that has a
    /// message keeps it, and the others are silent.
    pub fn agree<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        let Some(team) = self.team() else { return outcome };
        // 2: has failed and has a message
        let state = match &outcome {
            Ok(_) => 0,
            Err(failure) => 1 + u8::from(!failure.is_elsewhere()),
        };
        let mut states = vec![state];
        if team.rank() > 0 {
            team.send(0, &[state]);
        } else {
            states.extend((1..team.size()).flat_map(|rank| team.receive(rank)));
        }
        team.broadcast(&mut states);
        let speaker = states.iter().position(|&state| state == 2);
        match outcome {
            outcome if states.iter().all(|&state| state == 0) || speaker == Some(team.rank()) => outcome,
            _ => Err(Failure::elsewhere()),
        }
    }

    /// Returns on all ranks what `value` returns on the first.
    pub fn same_as_first<T: Serialize + DeserializeOwned>(
        &self,
        value: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        let Some(team) = self.team() else { return value() };
        let value = self.agree(if self.is_first() { value().map(Some) } else { Ok(None) })?;
        let wrong = |error: serde_json::Error| Failure::new(format!("a message between ranks: {error}"));
        let mut bytes = serde_json::to_vec(&value).map_err(wrong)?;
        team.broadcast(&mut bytes);
        match value {
            Some(value) => Ok(value),
            None => serde_json::from_slice(&bytes).map_err(wrong),
        }
    }

    /// Returns on all ranks whether the first goes on.
    pub fn follow_first(&self, flow: ControlFlow<()>) -> ControlFlow<()> {
        let Some(team) = self.team() else { return flow };
        let mut goes_on = vec![u8::from(flow.is_continue())];
        team.broadcast(&mut goes_on);
        if goes_on == [1] { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Returns how many bytes all ranks have sent, on the first rank; None on others and for one process.
    pub fn bytes_sent(&self) -> Option<u64> {
        let team = self.team()?;
        let own = SENT.load(Ordering::Relaxed);
        if !self.is_first() {
            team.send(0, &own.to_ne_bytes());
            return None;
        }
        let of = |rank| team.receive(rank).try_into().map_or(0, u64::from_ne_bytes);
        Some(own + (1..team.size()).map(of).sum::<u64>())
    }
}
