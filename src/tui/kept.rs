//! What a screen was like when it was left, for the next time: the view, the orders of the tables, colours and signs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chart::Markers;
use super::list;
use super::state::State;
use super::state::place::{Page, Place};
use super::theme::{Palette, Theme};

/// Views that are about nothing in particular.
const PAGES: [Page; 9] = [
    Page::Queues,
    Page::Instances,
    Page::Spend,
    Page::Why,
    Page::Journal,
    Page::Settings,
    Page::Logs,
    Page::Pools,
    Page::Charts,
];

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// By its title.
    view: String,
    /// Columns by their names, and whether the order is turned round.
    #[serde(default)]
    sorts: BTreeMap<String, (String, bool)>,
    /// Views whose long lines are wrapped.
    #[serde(default)]
    wraps: Vec<String>,
    /// Where a person chose one.
    #[serde(default)]
    look: Option<Look>,
    #[serde(default)]
    mouse: Option<bool>,
    /// What charts are drawn with, where a person chose that.
    #[serde(default)]
    markers: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Look {
    colours: String,
    ascii: bool,
}

/// What is worth keeping of a screen.
pub(crate) fn text(state: &State) -> String {
    let look_of = |page: Page| state.looks.get(&Place::of(page));
    let sorts = PAGES.iter().filter_map(|page| {
        let look = look_of(*page)?;
        Some((page.title().to_owned(), (look.sort?.to_owned(), look.inverted)))
    });
    let wraps = PAGES.iter().filter(|page| look_of(**page).is_some_and(|look| look.wrap));
    // The view above what was looked at: what it was about may be gone.
    let at = if PAGES.contains(&state.place.page) { state.place.page } else { Page::Queues };
    let kept = Kept {
        view: at.title().to_owned(),
        sorts: sorts.collect(),
        wraps: wraps.map(|page| page.title().to_owned()).collect(),
        look: state
            .chose_theme
            .then(|| Look { colours: state.theme.palette.word().to_owned(), ascii: state.theme.ascii }),
        mouse: Some(state.wants_mouse),
        markers: state.charts.chose_markers.then(|| state.charts.markers.word().to_owned()),
    };
    serde_json::to_string(&kept).unwrap_or_default()
}

/// Takes up a screen where it was left; what cannot be read is as if nothing had been kept. `themed`: the colours are
/// decided already.
pub(crate) fn take_up(state: &mut State, text: &str, themed: bool) {
    let Ok(kept) = serde_json::from_str::<Kept>(text) else { return };
    let page = |title: &str| PAGES.into_iter().find(|page| page.title() == title);
    for (title, (column, inverted)) in kept.sorts {
        let Some(place) = page(&title).map(Place::of) else { continue };
        let column = list::columns(&place).iter().find(|known| known.name == column);
        let sorts = list::sorts(&place);
        if let Some(column) = column.filter(|_| sorts) {
            let look = state.looks.entry(place).or_default();
            (look.sort, look.inverted) = (Some(column.name), inverted);
        }
    }
    for page in kept.wraps.iter().filter_map(|title| page(title)) {
        state.looks.entry(Place::of(page)).or_default().wrap = true;
    }
    if let Some(page) = page(&kept.view) {
        state.place = Place::of(page);
    }
    state.wants_mouse = kept.mouse.unwrap_or(state.wants_mouse);
    if let Some(markers) = kept.markers.as_deref().and_then(Markers::of_word) {
        (state.charts.markers, state.charts.chose_markers) = (markers, true);
    }
    let palettes = [Palette::Dark, Palette::Light, Palette::ColourBlind, Palette::Mono];
    let look = kept.look.filter(|_| !themed);
    if let Some((palette, ascii)) = look.and_then(|look| {
        let palette = palettes.into_iter().find(|palette| palette.word() == look.colours)?;
        Some((palette, look.ascii))
    }) {
        state.theme = Theme { palette, ascii };
        state.chose_theme = true;
    }
}
