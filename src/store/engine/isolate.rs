//! An item that makes its group fail must not fail its neighbours.

use super::StoreError;
use std::{future::Future, sync::Arc};

/// Tries of an item that fails alone as [`StoreError::Broken`] before it is a culprit.
const BROKEN_TRIES: u32 = 3;
/// After this many such culprits the search ends: the program or the schema is at fault, not an
/// item.
const BROKEN_CULPRITS_MAX: u32 = 4;

/// Commits `items` as one group. If the group fails because of its contents, it is halved until the
/// culprits are found.
///
/// There is one result for each item, in their order: [`StoreError::Data`] or
/// [`StoreError::Constraint`] is an item's own fault. An item that breaks the store's own rules
/// whenever it is committed alone is a culprit, too, and gets [`StoreError::Data`]. Any other error
/// tells nothing about the item; the item is not stored.
///
/// The search costs at most `2 · c · log2(n)` further groups for c culprits among n items.
pub async fn commit_isolating<T, A, F>(
    items: Arc<[T]>,
    commit: impl Fn(Arc<[T]>) -> F,
) -> Vec<Result<A, StoreError>>
where
    T: Clone,
    F: Future<Output = Result<Vec<A>, StoreError>>,
{
    let mut results: Vec<Result<A, StoreError>> = Vec::with_capacity(items.len());
    // A stack of groups that are not committed yet, the first items on top: results come in order.
    let mut waiting: Vec<Arc<[T]>> = vec![items];
    let (mut broken_tries, mut broken_culprits) = (0, 0);
    while let Some(group) = waiting.pop() {
        // Commit the group.
        let error = match commit(group.clone()).await {
            Ok(answers) if answers.len() == group.len() => {
                broken_tries = 0;
                results.extend(answers.into_iter().map(Ok));
                continue;
            }
            // The group is committed, so it is not repeated. It is unknown which answer is missing.
            Ok(answers) => {
                let (count, size) = (answers.len(), group.len());
                let error = StoreError::Broken(format!("{count} answers to a group of {size}"));
                results.extend(group.iter().map(|_| Err(error.clone())));
                continue;
            }
            Err(error) => error,
        };
        // It has failed: halve it, try a single item again, or give the error to its items.
        let is_broken = matches!(error, StoreError::Broken(_));
        let is_searched = error.is_data() || (is_broken && broken_culprits < BROKEN_CULPRITS_MAX);
        if is_searched && group.len() > 1 {
            let (left, right) = group.split_at(group.len() / 2);
            waiting.push(right.into());
            waiting.push(left.into());
        } else if is_searched && is_broken {
            broken_tries += 1;
            if broken_tries < BROKEN_TRIES {
                waiting.push(group);
                continue;
            }
            broken_tries = 0;
            broken_culprits += 1;
            results.push(Err(StoreError::Data(format!("it fails whenever it is alone: {error}"))));
        } else {
            results.extend(group.iter().map(|_| Err(error.clone())));
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    proptest! {
        #[test]
        fn only_the_culprits_fail_and_every_neighbour_is_stored_once(
            items in prop::collection::vec(prop::bool::weighted(0.05), 1..300),
        ) {
            let numbered: Vec<(usize, bool)> = items.iter().copied().enumerate().collect();
            let stored = std::sync::Mutex::new(Vec::new());
            let calls = AtomicUsize::new(0);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let results = runtime.block_on(commit_isolating(numbered.into(), |group: Arc<[(usize, bool)]>| {
                calls.fetch_add(1, Ordering::Relaxed);
                let result = if group.iter().any(|it| it.1) {
                    Err(StoreError::Data("bad".to_owned()))
                } else {
                    stored.lock().unwrap().extend(group.iter().map(|it| it.0));
                    Ok(group.iter().map(|it| it.0).collect())
                };
                async move { result }
            }));
            prop_assert_eq!(results.len(), items.len());
            for (at, (result, bad)) in results.iter().zip(&items).enumerate() {
                match result {
                    Ok(number) => prop_assert!(*number == at && !bad),
                    Err(_) => prop_assert!(*bad),
                }
            }
            let stored = stored.into_inner().unwrap();
            let good: Vec<usize> =
                items.iter().enumerate().filter(|(_, bad)| !**bad).map(|(at, _)| at).collect();
            prop_assert_eq!(stored, good);
        }
    }

    #[test]
    fn answers_that_are_missing_are_everybodys_error_and_nobody_gets_a_neighbours() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for answers in [0, 2, 4] {
            let commit = |_| async move { Ok((0..answers).collect::<Vec<usize>>()) };
            let results = runtime.block_on(commit_isolating(Arc::from(['a', 'b', 'c']), commit));
            assert_eq!(results.len(), 3, "{answers} answers");
            for result in results {
                assert!(
                    matches!(result, Err(StoreError::Broken(_))),
                    "{answers} answers: {result:?}"
                );
            }
        }
    }

    #[test]
    fn a_database_that_is_away_is_nobodys_fault_and_starts_no_search() {
        let calls = AtomicUsize::new(0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let results: Vec<Result<(), StoreError>> =
            runtime.block_on(commit_isolating(Arc::from([1, 2, 3]), |_| {
                calls.fetch_add(1, Ordering::Relaxed);
                async { Err(StoreError::Busy("gone".to_owned())) }
            }));
        assert_eq!(calls.into_inner(), 1);
        assert!(results.iter().all(|it| *it == Err(StoreError::Busy("gone".to_owned()))));
    }

    fn run<A>(
        items: Vec<i32>,
        commit: impl Fn(&[i32]) -> Result<Vec<A>, StoreError>,
    ) -> Vec<Result<A, StoreError>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(commit_isolating(items.into(), |group: Arc<[i32]>| {
            let result = commit(&group);
            async move { result }
        }))
    }

    #[test]
    fn one_that_breaks_the_store_itself_does_not_stop_its_neighbours() {
        let results = run((0..300).collect(), |group| match group.contains(&200) {
            true => Err(StoreError::Broken("a database call panicked".to_owned())),
            false => Ok(group.to_vec()),
        });
        for (at, result) in (0..).zip(results) {
            assert_eq!(result.is_ok(), at != 200, "{at}");
            assert!(result.is_ok() || result.is_err_and(|it| it.is_data()), "{at}");
        }
    }

    #[test]
    fn a_panic_that_does_not_come_again_is_nobodys_fault() {
        let calls = AtomicUsize::new(0);
        let results = run(vec![7], |group| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(StoreError::Broken("a database call panicked".to_owned())),
            _ => Ok(group.to_vec()),
        });
        assert_eq!(results, [Ok(7)]);
    }

    #[test]
    fn where_everything_breaks_the_search_ends_soon() {
        let calls = AtomicUsize::new(0);
        let broken = || StoreError::Broken("SQLSTATE 42P01".to_owned());
        let results: Vec<Result<(), StoreError>> = run((0..1_000).collect(), |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(broken())
        });
        assert!(calls.into_inner() < 50);
        assert_eq!(results.len(), 1_000);
        assert_eq!(results.iter().filter(|it| **it == Err(broken())).count(), 996);
    }
}
