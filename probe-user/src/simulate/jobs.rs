//! Threads. In flow tasks that depend on nothing but themselves, out flow their results
//! in the tasks' order.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::progress::Progress;

/// Runs one task, and says how much of it was done since it said so last.
pub type Run<'a, T, R> = dyn Fn(&T, &dyn Fn(f64)) -> R + Sync + 'a;

/// Runs every task, on so many threads at once.
pub fn run<T: Sync, R: Send>(threads: usize, tasks: &[T], run: &Run<T, R>) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let progress = Progress::new(tasks.len());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(index) else {
                return;
            };
            let result = run(task, &|part| progress.add(part));
            if let Ok(mut results) = results.lock() {
                results.push((index, result));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, tasks.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        let tasks: Vec<u32> = (0..100).collect();
        for threads in [0, 1, 7, 1000] {
            assert_eq!(run(threads, &tasks, &|task, _| *task), tasks);
        }
        assert_eq!(run(2, &[], &|(): &(), _| ()), []);
    }
}
