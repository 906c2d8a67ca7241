//! The processes of a fit or a training: one, or the ranks that `mpirun` has started (feature `mpi`).
//!
//! Each stage of the command ends with [`Ranks::agree`]: all ranks go on, or all end, and one of them says why.

#[cfg(feature = "mpi")]
mod world;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use em_routing::data::{Rows, Shared, Team};
use em_routing::instruction_set;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{Failure, Outcome};
use super::progress;

/// The bytes that this rank has sent.
static SENT: AtomicU64 = AtomicU64::new(0);

/// The processes of a fit or a training.
pub struct Ranks {
    /// None for one process.
    team: Option<Box<dyn Team>>,
}

impl Ranks {
    /// Runs a command on all ranks together; `shared` is what they share, in words. All ranks except the first are silent.
    pub fn run(shared: &str, command: impl FnOnce(&Ranks) -> Outcome<ExitCode>) -> Outcome<ExitCode> {
        match Ranks::join(shared).and_then(|ranks| command(&ranks)) {
            // the process that has the message ends with the code of an error
            Err(failure) if failure.is_elsewhere() => Ok(ExitCode::SUCCESS),
            ended => ended,
        }
    }

    /// Meets the other ranks if `mpirun` has started this process.
    fn join(shared: &str) -> Outcome<Ranks> {
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
        Ranks::meet(shared)
    }

    #[cfg(feature = "mpi")]
    fn meet(shared: &str) -> Outcome<Ranks> {
        let team: Box<dyn Team> = Box::new(world::World::join()?);
        say!("  {} ranks share {shared}", team.size());
        Ok(Ranks { team: Some(team) })
    }

    #[cfg(not(feature = "mpi"))]
    fn meet(_shared: &str) -> Outcome<Ranks> {
        match progress::is_silent() {
            true => Err(Failure::elsewhere()),
            false => Err(Failure::new("mpirun has started several processes, but this program has no MPI")
                .mend("build it with: cargo build --release --features mpi")),
        }
    }

    /// Returns the ranks, or None for one process.
    pub fn team(&self) -> Option<&dyn Team> {
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

    /// Checks that all ranks have the same options and see the same files, and compute with the same vector instructions.
    pub fn check_same(&self, mut settings: BTreeMap<String, String>) -> Outcome<()> {
        settings.insert("the processor's vector instructions".to_owned(), instruction_set().to_owned());
        let of_first = self.same_as_first(|| Ok(settings.clone()))?;
        let differs = settings.iter().find(|(name, value)| of_first.get(*name) != Some(value));
        self.agree(match differs {
            None => Ok(()),
            Some((name, value)) => Err(Failure::new(format!(
                "rank {} differs from rank 0: {name} is {value}, but there {}",
                self.place().0,
                of_first.get(name).map_or("nothing", String::as_str)
            ))
            .mend("use machines of one kind, with the same files and options")),
        })
    }

    /// Returns the sum of a number over all ranks.
    pub fn total(&self, own: usize) -> usize {
        let Some(team) = self.team() else { return own };
        let mut total = Ranks::sum_on_first(team, own as u64).to_ne_bytes().to_vec();
        team.broadcast(&mut total);
        total.try_into().map_or(0, u64::from_ne_bytes) as usize
    }

    /// Returns the sum of a number over all ranks on the first; the number itself on the others.
    fn sum_on_first(team: &dyn Team, own: u64) -> u64 {
        if team.rank() > 0 {
            team.send(0, &own.to_ne_bytes());
            return own;
        }
        let of = |rank| team.receive(rank).try_into().map_or(0, u64::from_ne_bytes);
        own + (1..team.size()).map(of).sum::<u64>()
    }

    /// Returns how many bytes all ranks have sent, on the first rank; None on others and for one process.
    pub fn bytes_sent(&self) -> Option<u64> {
        let team = self.team()?;
        let all = Ranks::sum_on_first(team, SENT.load(Ordering::Relaxed));
        self.is_first().then_some(all)
    }
}
