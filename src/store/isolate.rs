//! A row that makes its group fail must not fail its neighbours.

use super::StoreError;
use std::{future::Future, sync::Arc};

/// Commits `items` as one group; where the database refuses the data, looks for the culprits by halves.
///
/// The results are in the order of the items: [`StoreError::Data`] is an item's
/// own fault, any other error says that the database is away, and nothing of that item is stored.
///
/// The search costs at most `2 · c · log2(n)` further groups for c culprits among n items.
pub async fn commit_isolating<T, A, F>(
    items: Vec<T>,
    commit: impl Fn(Arc<[T]>) -> F,
) -> Vec<Result<A, StoreError>>
where
    T: Clone,
    F: Future<Output = Result<Vec<A>, StoreError>>,
{
    let mut results: Vec<Result<A, StoreError>> = Vec::with_capacity(items.len());
    // A stack of what is still to be committed, the first items on top, so that results come in order.
    let mut waiting: Vec<Arc<[T]>> = vec![items.into()];
    while let Some(group) = waiting.pop() {
        match commit(group.clone()).await {
            Ok(answers) => results.extend(answers.into_iter().map(Ok)),
            Err(error) if error.is_data() && group.len() > 1 => {
                let (left, right) = group.split_at(group.len() / 2);
                waiting.push(right.into());
                waiting.push(left.into());
            }
            Err(error) => results.extend(group.iter().map(|_| Err(error.clone()))),
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
            let results = runtime.block_on(commit_isolating(numbered, |group: Arc<[(usize, bool)]>| {
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
    fn a_database_that_is_away_is_nobodys_fault_and_starts_no_search() {
        let calls = AtomicUsize::new(0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let results: Vec<Result<(), StoreError>> =
            runtime.block_on(commit_isolating(vec![1, 2, 3], |_| {
                calls.fetch_add(1, Ordering::Relaxed);
                async { Err(StoreError::Busy("gone".to_owned())) }
            }));
        assert_eq!(calls.into_inner(), 1);
        assert!(results.iter().all(|it| *it == Err(StoreError::Busy("gone".to_owned()))));
    }
}
