//! Sums over chunks that several processes share. They are equal to the last bit for any number of processes.

use std::ops::Range;

use super::message::Message;
use super::sum_chunks;
use crate::error::{Error, Result};

/// The processes that share the rows of a table or the images of a batch, numbered from 0: the ranks of MPI.
///
/// All ranks run the same program on the same data. Each computes its part of every sum over the rows or images; the parts are
/// sent to rank 0, and the whole is sent to all.
pub trait Team: Sync {
    /// Returns the number of this process.
    fn rank(&self) -> usize;
    /// Returns the number of processes.
    fn size(&self) -> usize;
    /// Sends bytes to another rank, which receives them.
    fn send(&self, to: usize, bytes: &[u8]);
    /// Waits for bytes from another rank.
    fn receive(&self, from: usize) -> Vec<u8>;
    /// Replaces the bytes of each rank by those of rank 0.
    fn broadcast(&self, bytes: &mut Vec<u8>);
    /// Returns the part of `count` items that this rank has if they are divided evenly.
    fn part(&self, count: usize) -> Range<usize> {
        count * self.rank() / self.size()..count * (self.rank() + 1) / self.size()
    }
}

/// What a rank tells the others of an error.
#[derive(Clone, Copy)]
enum Fault {
    Impossible(usize),
    NotPositiveDefinite(usize),
    /// Any other error. Only this rank can explain it.
    Of(usize),
}

impl Fault {
    fn new(error: &Error, rank: usize) -> Fault {
        match *error {
            Error::Impossible { index } => Fault::Impossible(index),
            Error::NotPositiveDefinite { component } => Fault::NotPositiveDefinite(component),
            _ => Fault::Of(rank),
        }
    }

    /// Returns the error for this rank, which may have the fault's own error.
    fn on(self, rank: usize, own: Option<Error>) -> Error {
        match (self, own) {
            (Fault::Of(failed), Some(own)) if failed == rank => own,
            (fault, _) => fault.error(),
        }
    }

    fn error(self) -> Error {
        match self {
            Fault::Impossible(index) => Error::Impossible { index },
            Fault::NotPositiveDefinite(component) => Error::NotPositiveDefinite { component },
            Fault::Of(rank) => Error::OtherRank { rank },
        }
    }
}

impl<S: Message> Message for std::result::Result<S, Fault> {
    fn write(&self, to: &mut Vec<u8>) {
        let (kind, number) = match *self {
            Ok(ref sum) => {
                to.push(0);
                return sum.write(to);
            }
            Err(Fault::Impossible(index)) => (1, index),
            Err(Fault::NotPositiveDefinite(component)) => (2, component),
            Err(Fault::Of(rank)) => (3, rank),
        };
        to.push(kind);
        number.write(to);
    }

    fn read(from: &mut &[u8]) -> Self {
        match u8::read(from) {
            0 => Ok(S::read(from)),
            1 => Err(Fault::Impossible(usize::read(from))),
            2 => Err(Fault::NotPositiveDefinite(usize::read(from))),
            _ => Err(Fault::Of(usize::read(from))),
        }
    }
}

/// Returns the first chunk of each rank, and the number of chunks at the end. Rank 0 has the first chunk.
///
/// The parts are equal up to a 32nd of a part, and begin at multiples of a power of two, so that a part is made of few
/// subtrees.
pub(crate) fn parts(chunks: usize, ranks: usize) -> Vec<usize> {
    let share = chunks / (32 * ranks);
    let multiple = if share == 0 { 1 } else { 1 << share.ilog2() };
    (0..=ranks).map(|rank| (chunks * rank).div_ceil(ranks).next_multiple_of(multiple).min(chunks)).collect()
}

/// Computes what [`sum_chunks`] computes, on all ranks together: each computes its part of the chunks.
///
/// # Errors
///
/// Returns the error of the first chunk that fails; on other ranks [`Error::OtherRank`] stands for one that only its rank
/// can explain. Returns `None` if there are no chunks.
pub(crate) fn sum_in_team<C: Send, T: Send, S: Send + Message>(
    team: &dyn Team,
    chunks: Vec<C>,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, C) -> Result<S> + Sync,
    merge: impl Fn(&mut S, S) + Sync,
) -> Result<Option<S>> {
    let starts = parts(chunks.len(), team.size());
    let own = starts[team.rank()]..starts[team.rank() + 1];
    let own = chunks.into_iter().skip(own.start).take(own.len());
    sum_parts(team, &starts, own, threads, state, work, merge)
}

/// Computes what [`sum_chunks`] computes for the chunks of all ranks, in the order of the ranks; `own` are those of this one.
/// With one process (`team` is `None`) this is [`sum_chunks`].
///
/// # Errors
///
/// Returns the errors of [`sum_in_team`]. Returns `None` if no rank has a chunk.
pub(crate) fn sum_over_ranks<C: Send, T: Send, S: Send + Message>(
    team: Option<&dyn Team>,
    own: Vec<C>,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, C) -> Result<S> + Sync,
    merge: impl Fn(&mut S, S) + Sync,
) -> Result<Option<S>> {
    let Some(team) = team else { return sum_chunks(own, threads, state, work, merge) };
    let mut starts = vec![0];
    for count in gather(team, Ok(own.len()))? {
        starts.push(starts[starts.len() - 1] + count);
    }
    sum_parts(team, &starts, own.into_iter(), threads, state, work, merge)
}

/// Returns the values of all ranks, in the order of the ranks.
///
/// # Errors
///
/// Returns the error of the first rank that has one, in the form of [`sum_in_team`].
pub(crate) fn gather<M: Message>(team: &dyn Team, own: Result<M>) -> Result<Vec<M>> {
    let rank = team.rank();
    let (own, error) = match own {
        Ok(own) => (Ok(own), None),
        Err(error) => (Err(Fault::new(&error, rank)), Some(error)),
    };
    let mut bytes = Vec::new();
    own.write(&mut bytes);
    match rank {
        0 => (1..team.size()).for_each(|from| bytes.extend(team.receive(from))),
        _ => team.send(0, &bytes),
    }
    team.broadcast(&mut bytes);
    let rest = &mut &bytes[..];
    let values: Vec<std::result::Result<M, Fault>> = (0..team.size()).map(|_| Message::read(rest)).collect();
    let values: std::result::Result<Vec<M>, Fault> = values.into_iter().collect();
    values.map_err(|fault| fault.on(rank, error))
}

/// Returns this rank's value, and what all ranks say of theirs, in the order of the ranks.
///
/// # Errors
///
/// Returns the errors of [`gather`].
pub(crate) fn agree<T, M: Message>(
    team: &dyn Team,
    own: Result<T>,
    message: impl FnOnce(&T) -> M,
) -> Result<(T, Vec<M>)> {
    let (value, said) = match own {
        Ok(value) => {
            let said = message(&value);
            (Some(value), Ok(said))
        }
        Err(error) => (None, Err(error)),
    };
    let said = gather(team, said)?;
    Ok((value.expect("gather returns this rank's error"), said))
}

/// Sums the chunks of all ranks; rank r has those from `starts[r]` to `starts[r + 1]`.
fn sum_parts<C: Send, T: Send, S: Send + Message>(
    team: &dyn Team,
    starts: &[usize],
    mut own: impl Iterator<Item = C>,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, C) -> Result<S> + Sync,
    merge: impl Fn(&mut S, S) + Sync,
) -> Result<Option<S>> {
    let (count, rank) = (starts[team.size()], team.rank());
    if count == 0 {
        return Ok(None);
    }
    let mut tree = Tree { team, starts, subtrees: Vec::new(), sums: Vec::new().into_iter() };
    tree.find_subtrees(0..count);
    let subtrees = std::mem::take(&mut tree.subtrees);
    let subtrees: Vec<Vec<C>> =
        subtrees.into_iter().map(|subtree| own.by_ref().take(subtree.len()).collect()).collect();
    let number = subtrees.len();
    let sums = sum_chunks(
        subtrees,
        threads,
        || (),
        |(), chunks| sum_chunks(chunks, threads, &state, &work, &merge).map(|sum| Vec::from_iter(sum)),
        |all, more| all.extend(more),
    );
    let (sums, error) = match sums {
        Ok(sums) => (sums.unwrap_or_default().into_iter().map(Ok).collect(), None),
        Err(error) => ((0..number).map(|_| Err(Fault::new(&error, rank))).collect::<Vec<_>>(), Some(error)),
    };
    tree.sums = sums.into_iter();
    let sum = tree.sum(0..count, &merge);
    let mut bytes = Vec::new();
    if let Some(sum) = &sum {
        sum.write(&mut bytes);
    }
    // the rank of the first chunk has the sum, and rank 0 sends it to all
    match tree.owner(0) {
        0 => {}
        owner if owner == rank => team.send(0, &bytes),
        owner if rank == 0 => bytes = team.receive(owner),
        _ => {}
    }
    team.broadcast(&mut bytes);
    let sum = <std::result::Result<S, Fault>>::read(&mut &bytes[..]);
    sum.map(Some).map_err(|fault| fault.on(rank, error))
}

/// The tree of [`sum_chunks`] over the chunks of all ranks.
struct Tree<'a, S> {
    team: &'a dyn Team,
    starts: &'a [usize],
    /// The largest subtrees of which this rank has all chunks, from left to right.
    subtrees: Vec<Range<usize>>,
    /// Their sums.
    sums: std::vec::IntoIter<std::result::Result<S, Fault>>,
}

impl<S: Message> Tree<'_, S> {
    /// Returns the rank that has this chunk.
    fn owner(&self, chunk: usize) -> usize {
        self.starts.partition_point(|&start| start <= chunk) - 1
    }

    /// Returns the rank that has all of these chunks, if one has.
    fn owner_of_all(&self, chunks: &Range<usize>) -> Option<usize> {
        let owner = self.owner(chunks.start);
        (owner == self.owner(chunks.end - 1)).then_some(owner)
    }

    fn find_subtrees(&mut self, chunks: Range<usize>) {
        match self.owner_of_all(&chunks) {
            Some(owner) if owner == self.team.rank() => self.subtrees.push(chunks),
            Some(_) => {}
            None => {
                let middle = middle(&chunks);
                self.find_subtrees(chunks.start..middle);
                self.find_subtrees(middle..chunks.end);
            }
        }
    }

    /// Sums the chunks. The rank of the first chunk gets the sum. All ranks walk the tree in the same order, so that each
    /// message finds its receiver.
    fn sum(
        &mut self,
        chunks: Range<usize>,
        merge: &impl Fn(&mut S, S),
    ) -> Option<std::result::Result<S, Fault>> {
        let rank = self.team.rank();
        if let Some(owner) = self.owner_of_all(&chunks) {
            return if owner == rank { self.sums.next() } else { None };
        }
        let middle = middle(&chunks);
        let (left_rank, right_rank) = (self.owner(chunks.start), self.owner(middle));
        let left = self.sum(chunks.start..middle, merge);
        let mut right = self.sum(middle..chunks.end, merge);
        if left_rank != right_rank {
            if let Some(right) = right.take() {
                let mut bytes = Vec::new();
                right.write(&mut bytes);
                self.team.send(left_rank, &bytes);
            } else if left.is_some() {
                right = Some(Message::read(&mut &self.team.receive(right_rank)[..]));
            }
        }
        Some(match (left?, right?) {
            (Ok(mut left), Ok(right)) => {
                merge(&mut left, right);
                Ok(left)
            }
            (Err(fault), _) | (_, Err(fault)) => Err(fault),
        })
    }
}

/// Returns the chunk at which the right subtree begins.
fn middle(chunks: &Range<usize>) -> usize {
    chunks.start + super::chunks::middle(chunks.len())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Ranks that are threads of one process.
    struct Threads {
        rank: usize,
        to: Vec<Mutex<Sender<Vec<u8>>>>,
        from: Vec<Mutex<Receiver<Vec<u8>>>>,
    }

    impl Team for Threads {
        fn rank(&self) -> usize {
            self.rank
        }

        fn size(&self) -> usize {
            self.to.len()
        }

        fn send(&self, to: usize, bytes: &[u8]) {
            assert!(to != self.rank);
            self.to[to].lock().unwrap().send(bytes.to_vec()).unwrap();
        }

        fn receive(&self, from: usize) -> Vec<u8> {
            assert!(from != self.rank);
            self.from[from].lock().unwrap().recv().unwrap()
        }

        fn broadcast(&self, bytes: &mut Vec<u8>) {
            match self.rank {
                0 => (1..self.size()).for_each(|to| self.send(to, bytes)),
                _ => *bytes = self.receive(0),
            }
        }
    }

    /// Runs the job on each rank and returns the results.
    pub(crate) fn on_ranks<R: Send>(ranks: usize, job: impl Fn(&dyn Team) -> R + Sync) -> Vec<R> {
        let new = |rank| Threads { rank, to: Vec::new(), from: Vec::new() };
        let mut team: Vec<Threads> = (0..ranks).map(new).collect();
        for from in 0..ranks {
            for to in 0..ranks {
                let (sender, receiver) = channel();
                team[from].to.push(Mutex::new(sender));
                team[to].from.push(Mutex::new(receiver));
            }
        }
        let job = &job;
        std::thread::scope(|scope| {
            let running: Vec<_> = team.iter().map(|rank| scope.spawn(move || job(rank))).collect();
            running.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    /// Draws the tree over this many chunks with brackets.
    fn brackets(team: &dyn Team, chunks: usize, threads: usize) -> String {
        let work = |(): &mut (), chunk: usize| Ok(chunk.to_string().into_bytes());
        let merge =
            |left: &mut Vec<u8>, right: Vec<u8>| *left = [b"(", &left[..], b" ", &right, b")"].concat();
        let sum = sum_in_team(team, (0..chunks).collect(), threads, || (), work, merge);
        String::from_utf8(sum.unwrap().unwrap_or_default()).unwrap()
    }

    #[test]
    fn all_ranks_get_the_tree_of_one() {
        for chunks in [0, 1, 2, 5, 7, 64, 100, 489] {
            let expected = on_ranks(1, |team| brackets(team, chunks, 1)).remove(0);
            assert_eq!(expected.matches('(').count(), chunks.saturating_sub(1));
            for (ranks, threads) in [(2, 1), (3, 2), (4, 1), (7, 1), (9, 2)] {
                for found in on_ranks(ranks, |team| brackets(team, chunks, threads)) {
                    assert_eq!(found, expected, "{chunks} chunks on {ranks} ranks");
                }
            }
        }
        assert_eq!(on_ranks(3, |team| brackets(team, 3, 1)), ["((0 1) 2)"; 3]);
    }

    #[test]
    fn ranks_with_chunks_of_their_own_get_the_tree_of_one() {
        for counts in [[3, 4, 1], [0, 2, 5], [6, 0, 0], [0, 0, 3], [1, 0, 1], [0, 0, 0]] {
            let all: usize = counts.iter().sum();
            let expected = on_ranks(1, |team| brackets(team, all, 1)).remove(0);
            let found = on_ranks(3, |team| {
                let first: usize = counts[..team.rank()].iter().sum();
                let own = (first..first + counts[team.rank()]).collect();
                let work = |(): &mut (), chunk: usize| Ok(chunk.to_string().into_bytes());
                let merge = |left: &mut Vec<u8>, right: Vec<u8>| {
                    *left = [b"(", &left[..], b" ", &right, b")"].concat()
                };
                sum_over_ranks(Some(team), own, 2, || (), work, merge).unwrap().unwrap_or_default()
            });
            assert_eq!(found, vec![expected.into_bytes(); 3], "{counts:?}");
        }
    }

    #[test]
    fn gather_returns_all_values_or_the_first_error() {
        let found = on_ranks(3, |team| gather(team, Ok((team.rank(), vec![0.5f32; team.rank()]))).unwrap());
        assert_eq!(found, vec![vec![(0, vec![]), (1, vec![0.5]), (2, vec![0.5; 2])]; 3]);
        let errors = on_ranks(3, |team| {
            let own = if team.rank() > 0 { Err(Error::NoValues { column: team.rank() }) } else { Ok(()) };
            gather(team, own).unwrap_err()
        });
        assert!(matches!(errors[1], Error::NoValues { column: 1 }));
        for rank in [0, 2] {
            assert!(matches!(errors[rank], Error::OtherRank { rank: 1 }), "{}", errors[rank]);
        }
    }

    #[test]
    fn parts_are_balanced_and_made_of_few_subtrees() {
        for (chunks, ranks) in [(489, 2), (1000, 3), (100_000, 256), (5, 8), (1, 2)] {
            let starts = parts(chunks, ranks);
            assert!(starts[0] == 0 && starts[ranks] == chunks && starts[1] > 0 && starts.is_sorted());
            let most = starts.windows(2).map(|part| part[1] - part[0]).max().unwrap();
            assert!(
                most as f64 <= 1.0 + chunks as f64 / ranks as f64 * (33.0 / 32.0),
                "{chunks}, {ranks}: {most}"
            );
        }
        let subtrees = on_ranks(256, |team| {
            let starts = parts(100_000, 256);
            let mut tree = Tree::<f64> { team, starts: &starts, subtrees: vec![], sums: vec![].into_iter() };
            tree.find_subtrees(0..100_000);
            tree.subtrees.len()
        });
        assert!(subtrees.iter().all(|&count| count <= 12), "{subtrees:?}");
    }

    #[test]
    fn the_first_failing_chunk_gives_the_error_on_all_ranks() {
        let fail = |team: &dyn Team, error: fn(usize) -> Error| {
            let work = |(): &mut (), chunk: usize| if chunk >= 70 { Err(error(chunk)) } else { Ok(1.0) };
            let merge = |all: &mut f64, more| *all += more;
            sum_in_team(team, (0..100).collect(), 1, || (), work, merge).unwrap_err()
        };
        let errors = on_ranks(4, |team| fail(team, |index| Error::Impossible { index }));
        assert!(errors.iter().all(|error| matches!(error, Error::Impossible { index: 70 })), "{errors:?}");
        let errors = on_ranks(4, |team| fail(team, |column| Error::NoValues { column }));
        for (rank, error) in errors.iter().enumerate() {
            match rank {
                2 => assert!(matches!(error, Error::NoValues { column: 70 }), "{error}"),
                _ => assert!(matches!(error, Error::OtherRank { rank: 2 }), "{error}"),
            }
        }
    }
}
