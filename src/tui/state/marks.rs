//! Marked rows: an order goes to all of them at once. Marks are on things, not on rows, and outlive filters.

use std::collections::BTreeSet;

use super::State;
use super::place::{Page, Subject};
use crate::model::ids::{InstanceId, TaskId};
use crate::model::instance::Instance;
use crate::tui::layout::{MARK, MARKS};

impl State {
    /// Whether rows of this page can be marked.
    pub(crate) fn can_mark(&self) -> bool {
        matches!(self.place.page, Page::Instances | Page::Tasks)
    }

    /// Marks or unmarks the selected row; `false`: it cannot be marked.
    pub(crate) fn mark(&mut self) -> bool {
        let Some(subject) = self.subject().filter(|subject| self.takes_orders(subject)) else { return false };
        if !self.marks.remove(&subject) {
            self.marks.insert(subject);
        }
        true
    }

    /// Whether orders can go to it; a frozen screen may show what is gone.
    fn takes_orders(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Instance(id) => self.machine(id).is_some_and(Instance::is_there),
            Subject::Task(..) => true,
            _ => false,
        }
    }

    /// Begins a range at the cursor, or marks the rows of the one that was begun.
    pub(crate) fn range(&mut self) {
        if self.range_from.is_none() {
            self.range_from = self.look().cursor;
        } else {
            let within = self.within_range();
            self.marks.extend(within);
            self.range_from = None;
        }
    }

    /// The rows between where the range began and the cursor.
    fn within_range(&self) -> Vec<Subject> {
        let began = self.range_from.as_ref().and_then(|from| self.list.position(from));
        let Some(began) = began else { return Vec::new() };
        let row = self.look().row;
        let rows = self.list.rows.get(began.min(row)..=began.max(row)).unwrap_or_default();
        rows.iter().map(|row| row.subject.clone()).filter(|subject| self.takes_orders(subject)).collect()
    }

    /// Marks every row that passes the filter; where all of them are marked, none.
    pub(crate) fn mark_all(&mut self) {
        let all: BTreeSet<Subject> =
            self.list.rows.iter().map(|row| row.subject.clone()).filter(|subject| self.takes_orders(subject)).collect();
        if all.is_subset(&self.marks) {
            self.marks.retain(|mark| !all.contains(mark));
        } else {
            self.marks.extend(all);
        }
    }

    /// Nothing is marked any more; `false`: nothing was.
    pub(crate) fn unmark(&mut self) -> bool {
        let ranged = self.range_from.take().is_some();
        let marked = !std::mem::take(&mut self.marks).is_empty();
        ranged || marked
    }

    /// What is gone is not marked.
    pub(crate) fn forget_gone_marks(&mut self) {
        let Some(view) = self.live.clone() else { return };
        self.marks.retain(|mark| match mark {
            Subject::Instance(id) => view.snapshot.instance(id).is_some_and(Instance::is_there),
            Subject::Task(queue, id) => {
                let known = self.tasks.get(queue).and_then(|tasks| tasks.as_ref().ok());
                known.is_some_and(|known| known.iter().any(|task| task.id == *id))
            }
            _ => false,
        });
    }

    /// The machines that orders go to here.
    pub(crate) fn marked_machines(&self) -> Vec<InstanceId> {
        if self.place.page != Page::Instances {
            return Vec::new();
        }
        let machines = self.marks.iter().filter_map(|mark| match mark {
            Subject::Instance(id) => Some(id.clone()),
            _ => None,
        });
        machines.collect()
    }

    /// The tasks that orders go to here.
    pub(crate) fn marked_tasks(&self) -> BTreeSet<TaskId> {
        let Some(Subject::Queue(here)) = self.place.about.as_ref().filter(|_| self.place.page == Page::Tasks) else {
            return BTreeSet::new();
        };
        let tasks = self.marks.iter().filter_map(|mark| match mark {
            Subject::Task(queue, id) if queue == here => Some(id.clone()),
            _ => None,
        });
        tasks.collect()
    }

    /// All that a hold would go to are held already: it ends.
    pub(crate) fn releases(&self) -> bool {
        let marked = self.marked_machines();
        let meant = match self.subject() {
            _ if !marked.is_empty() => marked,
            Some(Subject::Instance(id)) => vec![id],
            _ => return false,
        };
        let held = |id| self.live.as_ref().is_some_and(|view| self.machine(id).is_some_and(|one| one.is_held(view.at)));
        meant.iter().all(held)
    }

    /// How many marked things orders go to here.
    pub(crate) fn marked_here(&self) -> usize {
        self.marked_machines().len() + self.marked_tasks().len()
    }

    /// Those of them that no row shows: a filter hides them, or they are on another page.
    pub(crate) fn hidden_marks(&self) -> Vec<&Subject> {
        if self.marked_here() == 0 {
            return Vec::new();
        }
        let shown: BTreeSet<&Subject> = self.list.rows.iter().map(|row| &row.subject).collect();
        let tasks = self.marked_tasks();
        let is_meant = |mark: &&Subject| match mark {
            Subject::Instance(_) => self.place.page == Page::Instances,
            Subject::Task(_, id) => tasks.contains(id),
            _ => false,
        };
        self.marks.iter().filter(is_meant).filter(|mark| !shown.contains(mark)).collect()
    }

    /// `2 marked, 2 of them not shown: i-1, i-2.`
    pub(crate) fn hidden_told(&self) -> Option<String> {
        const NAMED: usize = 6;
        let hidden = self.hidden_marks();
        let names: Vec<String> = hidden.iter().take(NAMED).map(|mark| mark.name()).collect();
        let more = hidden.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let told =
            format!("{} marked, {} of them not shown: {}{more}.", self.marked_here(), hidden.len(), names.join(", "));
        (!hidden.is_empty()).then_some(told)
    }

    /// How many columns stand before the first cell.
    pub(crate) fn mark_width(&self) -> u16 {
        let has_marks = self.can_mark() && (self.marked_here() > 0 || self.range_from.is_some());
        if has_marks { MARKS } else { MARK }
    }

    /// Whether a row is marked, or would be if the range ended here.
    pub(crate) fn shows_marked(&self, subject: &Subject, row: usize) -> bool {
        let within = || {
            let began = self.range_from.as_ref().and_then(|from| self.list.position(from));
            let at = self.look().row;
            began.is_some_and(|began| (began.min(at)..=began.max(at)).contains(&row))
        };
        self.marks.contains(subject) || (self.range_from.is_some() && self.takes_orders(subject) && within())
    }
}
