//! What the view knows, and how keys and answers change it.

use super::data::{PoolLine, PoolStep, TopData};
use crate::cli::admin::AdminRefusal;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::VecDeque;

/// The state of the view.
#[derive(Debug, Default)]
pub(super) struct TopState {
    seen: TopData,
    /// The pool that the keys act on, by its place.
    selected: usize,
    /// True while the keys are explained.
    pub(super) is_helping: bool,
    /// The change that the person is asked about.
    pub(super) question: Option<PoolStep>,
    /// What the last change came to.
    pub(super) message: Option<String>,
    /// Why the daemon does not answer; `None` if it does.
    pub(super) away: Option<String>,
    /// Changes that are not sent yet.
    waiting: VecDeque<PoolStep>,
    /// True while a change is on its way. Until it is done, answers are older than what is shown.
    is_stepping: bool,
    is_ended: bool,
}

impl TopState {
    /// The view of a daemon that has answered.
    pub(super) fn new(seen: TopData) -> Self {
        Self { seen, ..Self::default() }
    }

    /// What the daemon said last.
    pub(super) fn seen(&self) -> &TopData {
        &self.seen
    }

    /// The place of the selected pool; `None` if there are no pools.
    pub(super) fn selected(&self) -> Option<usize> {
        self.seen.pools.len().checked_sub(1).map(|last| self.selected.min(last))
    }

    fn pool(&mut self) -> Option<&mut PoolLine> {
        let selected = self.selected()?;
        self.seen.pools.get_mut(selected)
    }

    /// True after the key that ends the view.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The change to ask the daemon for now: one at a time.
    pub(super) fn next_step(&mut self) -> Option<PoolStep> {
        if self.is_stepping {
            return None;
        }
        let step = self.waiting.pop_front();
        self.is_stepping = step.is_some();
        step
    }

    /// Takes an answer of the daemon, or that there is none.
    pub(super) fn on_answer(&mut self, answer: Result<TopData, AdminRefusal>) {
        match answer {
            Ok(seen) => {
                if !self.is_stepping && self.waiting.is_empty() {
                    self.seen = seen;
                }
                self.away = None;
            }
            Err(refusal) => self.away = Some(refusal.to_string()),
        }
    }

    /// Takes what became of a change.
    pub(super) fn on_done(&mut self, done: Result<String, AdminRefusal>) {
        self.is_stepping = false;
        self.message = Some(match done {
            Ok(message) => message,
            Err(refusal) => format!("refused: {refusal}"),
        });
    }

    /// Takes a key.
    pub(super) fn on_key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            self.is_ended = true;
            return;
        }
        if let Some(step) = self.question.take() {
            if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                self.waiting.push_back(step);
            } else {
                self.message = Some("nothing was changed".to_owned());
            }
            return;
        }
        if std::mem::take(&mut self.is_helping) {
            return;
        }
        self.message = None;
        #[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => self.is_ended = true,
            KeyCode::Char('?') => self.is_helping = true,
            KeyCode::Char('j') | KeyCode::Down => {
                self.selected = self.selected().map_or(0, |it| it + 1);
                self.selected = self.selected().unwrap_or_default();
            }
            KeyCode::Char('k') | KeyCode::Up => {
                self.selected = self.selected().unwrap_or_default().saturating_sub(1);
            }
            KeyCode::Char('p') => {
                let pool = self.pool().map(|pool| (pool.kind.clone(), !pool.is_paused));
                self.question = pool.map(|(kind, is_paused)| PoolStep::Pause { kind, is_paused });
            }
            KeyCode::Char('+' | '=') => self.resize(|size| size.saturating_add(1)),
            KeyCode::Char('-') => self.resize(|size| size.saturating_sub(1).max(1)),
            KeyCode::Char('0') => {
                let kind = self.pool().map(|pool| pool.kind.clone());
                self.waiting.extend(kind.map(|kind| PoolStep::Reset { kind }));
            }
            _ => {}
        }
    }

    /// Resizes the selected pool. What is shown changes at once, so that the next key counts from
    /// there. Of several sizes that wait, the last is sent.
    fn resize(&mut self, change: impl Fn(u64) -> u64) {
        let Some(pool) = self.pool() else { return };
        let size = change(pool.size);
        if size == pool.size {
            return;
        }
        pool.size = size;
        let kind = pool.kind.clone();
        match self.waiting.back_mut() {
            Some(PoolStep::Resize { kind: last, size: waiting }) if *last == kind => {
                *waiting = size
            }
            _ => self.waiting.push_back(PoolStep::Resize { kind, size }),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::data::tests::seen, *};

    /// Presses keys that are characters.
    pub(in crate::cli::top) fn press(state: &mut TopState, keys: &str) {
        for key in keys.chars() {
            state.on_key(KeyEvent::from(KeyCode::Char(key)));
        }
    }

    fn selected(state: &TopState) -> &str {
        let pool = state.selected().and_then(|it| state.seen.pools.get(it));
        &pool.expect("a pool").kind
    }

    #[test]
    fn keys_move_within_the_pools() {
        let mut state = TopState::new(seen());
        for (keys, kind) in [
            ("", "ANALYSE"),
            ("k", "ANALYSE"),
            ("j", "DELIVER_REPLY"),
            ("jjj", "SELF_CHECK"),
            ("k", "DELIVER_REPLY"),
        ] {
            press(&mut state, keys);
            assert_eq!(selected(&state), kind, "{keys}");
        }
        state.on_answer(Ok(TopData::default()));
        assert_eq!(state.selected(), None);
        press(&mut state, "jkp+-0");
        assert_eq!((state.question.clone(), state.next_step()), (None, None));
    }

    #[test]
    fn a_pause_asks_first() {
        let mut state = TopState::new(seen());
        press(&mut state, "pn");
        assert_eq!(state.next_step(), None);
        press(&mut state, "py");
        let kind = "ANALYSE".to_owned();
        assert_eq!(state.next_step(), Some(PoolStep::Pause { kind, is_paused: true }));
        press(&mut state, "jpy");
        assert_eq!(state.next_step(), None, "one at a time");
        state.on_done(Ok("ANALYSE is paused".to_owned()));
        assert_eq!(state.message.as_deref(), Some("ANALYSE is paused"));
        let kind = "DELIVER_REPLY".to_owned();
        assert_eq!(state.next_step(), Some(PoolStep::Pause { kind, is_paused: false }));
    }

    #[test]
    fn a_pool_is_resized_from_what_is_shown() {
        let mut state = TopState::new(seen());
        press(&mut state, "++");
        let resize = |size| Some(PoolStep::Resize { kind: "ANALYSE".to_owned(), size });
        assert_eq!(state.next_step(), resize(10));
        // An answer from before the change does not undo what is shown.
        state.on_answer(Ok(seen()));
        press(&mut state, "-");
        state.on_done(Ok(String::new()));
        assert_eq!(state.next_step(), resize(9));
        state.on_done(Ok(String::new()));
        press(&mut state, &"-".repeat(20));
        assert_eq!(state.next_step(), resize(1), "never to nothing");
        press(&mut state, "0");
        state.on_done(Ok(String::new()));
        assert_eq!(state.next_step(), Some(PoolStep::Reset { kind: "ANALYSE".to_owned() }));
    }

    #[test]
    fn what_was_seen_last_stays_while_the_daemon_is_away() {
        let mut state = TopState::new(seen());
        state.on_answer(Err(AdminRefusal::Away("no daemon answers".to_owned())));
        assert_eq!(state.away.as_deref(), Some("no daemon answers"));
        assert_eq!(state.seen, seen());
        state.on_answer(Ok(seen()));
        assert_eq!(state.away, None);
    }

    #[test]
    fn the_view_ends_by_three_keys() {
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for key in [KeyEvent::from(KeyCode::Char('q')), KeyEvent::from(KeyCode::Esc), control_c] {
            let mut state = TopState::new(seen());
            state.on_key(key);
            assert!(state.is_ended(), "{key:?}");
        }
        let mut state = TopState::new(seen());
        press(&mut state, "?q");
        assert!(!state.is_ended() && !state.is_helping, "the first key closes the help");
    }
}
