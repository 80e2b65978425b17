//! Every view in every look, as it is stored: its cells are read back and compared with what the scenario has.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::look::{SIZES, VIEWS, person};
use super::{Person, desk, seen};
use crate::engine::event::View;
use crate::model::tasks::TaskState;
use crate::tui::layout::{Class, placed};
use crate::tui::list;
use crate::tui::theme::{Palette, Theme};
use crate::tui::words::age;

/// The looks whose text is the same: they differ in style.
const PALETTES: [Palette; 3] = [Palette::Dark, Palette::Light, Palette::Mono];

fn seeing(keys: &str, palette: Palette, ascii: bool) -> Person {
    let mut person = person();
    person.state.theme = Theme { palette, ascii };
    person.press(keys);
    person
}

/// `Cyan BOLD`; nothing for what is plain.
fn style(cell: &Cell) -> String {
    let colour = |name: &str, colour: Color| match colour {
        Color::Reset => None,
        other => Some(format!("{name}{other}")),
    };
    let weight = (cell.modifier != Modifier::empty()).then(|| format!("{:?}", cell.modifier).replace(" | ", "+"));
    let parts = [colour("", cell.fg), colour("on ", cell.bg), weight];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The styles of a frame, run by run: `3: .1 a12 .4`; rows that are alike stand together, plain ones are left out.
fn runs(buffer: &Buffer, names: &mut BTreeMap<String, char>) -> String {
    let row = |y: u16, names: &mut BTreeMap<String, char>| {
        let mut runs: Vec<(char, u16)> = Vec::new();
        for x in 0..buffer.area.width {
            let style = style(&buffer[(x, y)]);
            let next = char::from(b'a' + u8::try_from(names.len()).unwrap());
            let name = if style.is_empty() { '.' } else { *names.entry(style).or_insert(next) };
            match runs.last_mut() {
                Some((last, length)) if *last == name => *length += 1,
                _ => runs.push((name, 1)),
            }
        }
        runs.pop_if(|(name, _)| *name == '.');
        runs.iter().map(|(name, length)| format!(" {name}{length}")).collect::<Vec<_>>().concat()
    };
    let rows: Vec<String> = (0..buffer.area.height).map(|y| row(y, names)).collect();
    let mut text = String::new();
    let mut y = 0;
    while y < rows.len() {
        let alike = rows[y..].iter().take_while(|row| **row == rows[y]).count();
        if !rows[y].is_empty() {
            let last = if alike > 1 { format!("-{}", y + alike) } else { String::new() };
            let _ = writeln!(text, "{}{last}:{}", y + 1, rows[y]);
        }
        y += alike;
    }
    text
}

#[test]
fn every_view_in_every_look() {
    for (name, keys) in VIEWS {
        let mut names = BTreeMap::new();
        let mut styles = String::new();
        for (width, height) in SIZES {
            for palette in PALETTES {
                let buffer = seeing(keys, palette, false).buffer(width, height);
                let _ = write!(styles, "{width}x{height} {}\n{}", palette.word(), runs(&buffer, &mut names));
            }
        }
        let mut legend: Vec<_> = names.iter().map(|(style, name)| format!("{name} {style}\n")).collect();
        legend.sort();
        insta::assert_snapshot!(format!("styles_{name}"), format!("{}{styles}", legend.concat()));
        let screens: Vec<_> = SIZES
            .into_iter()
            .map(|(width, height)| {
                let shown = seeing(keys, Palette::Mono, true).screen(width, height);
                assert!(shown.is_ascii(), "{name} {shown}");
                format!("{width}x{height}\n{shown}")
            })
            .collect();
        insta::assert_snapshot!(format!("ascii_{name}"), screens.join("\n"));
    }
}

/// A stored file without insta's head.
fn stored(file: &str) -> String {
    let path = format!("src/tui/tests/snapshots/tidegate__tui__tests__{file}.snap");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    text.splitn(3, "---\n").nth(2).unwrap().to_owned()
}

/// The stored screens of a view, each with its size.
fn screens(file: &str) -> Vec<((u16, u16), Vec<String>)> {
    let text = stored(file);
    let mut screens: Vec<((u16, u16), Vec<String>)> = Vec::new();
    for line in text.lines() {
        let size = SIZES.into_iter().find(|(width, height)| line == format!("{width}x{height}"));
        match (size, screens.last_mut()) {
            (Some(size), _) => screens.push((size, Vec::new())),
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert_eq!(screens.iter().map(|(size, _)| *size).collect::<Vec<_>>(), SIZES, "{file}");
    screens
}

/// The cells of a stored table, by their columns' names, in the order of its rows.
fn cells(keys: &str, (width, height): (u16, u16), lines: &[String]) -> Vec<BTreeMap<&'static str, String>> {
    let mut person = person();
    person.press(keys);
    let columns = list::columns(&person.state.place);
    let placed = placed(columns, Class::of(width, height).unwrap(), width, person.state.mark_width());
    let first = placed[0].0.name;
    let head = lines.iter().position(|line| line.trim_start().starts_with(first)).unwrap();
    let cell = |line: &str, x: u16, width: u16| {
        let letters: String = line.chars().skip(usize::from(x)).take(usize::from(width)).collect();
        letters.trim().to_owned()
    };
    for (column, x, width) in &placed {
        assert_eq!(cell(&lines[head], *x, *width), column.name);
    }
    let rows = lines[head + 1..].iter().take(person.state.list.rows.len());
    rows.map(|line| placed.iter().map(|(column, x, width)| (column.name, cell(line, *x, *width))).collect()).collect()
}

/// Whether the cell says this, or as much of it as has room.
fn says(cell: &str, value: &str) -> bool {
    let cut = cell.split_once(['…', '~']);
    cell == value || cut.is_some_and(|(head, tail)| value.starts_with(head) && value.ends_with(tail))
}

/// By the view's keys: what each row's columns are to say, made from the scenario alone.
type Expected = Vec<Vec<(&'static str, String)>>;

type OfView = fn(&View) -> Expected;

fn dollars(micros: i64) -> String {
    let cents = (micros + 5_000) / 10_000;
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn instances(view: &View) -> Expected {
    let machines = view.snapshot.instances.iter().map(|machine| {
        let state = machine.fault.map_or_else(|| machine.phase.word().to_owned(), |fault| fault.word().to_owned());
        vec![
            ("INSTANCE", machine.id.to_string()),
            ("STATE", state),
            ("FOR", age(view.at.duration_since(machine.phase_since))),
            ("QUEUE", machine.home.to_string()),
            ("POOL", machine.pool.to_string()),
            ("TYPE", machine.machine_type.to_string()),
            ("ZONE", machine.zone.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("AGE", age(view.at.duration_since(machine.launched))),
            ("$/H", machine.rate.map_or_else(|| "?".to_owned(), |rate| dollars(rate.micros_per_hour()))),
        ]
    });
    let intents = view.snapshot.intents.iter().map(|intent| {
        vec![
            ("INSTANCE", intent.id.to_string()),
            ("STATE", "intended".to_owned()),
            ("FOR", age(view.at.duration_since(intent.opened))),
            ("QUEUE", intent.queue.to_string()),
        ]
    });
    let foreign = view
        .snapshot
        .foreign
        .iter()
        .map(|worker| vec![("INSTANCE", worker.id.to_string()), ("STATE", "foreign".to_owned())]);
    let ghosts = view
        .snapshot
        .ghosts
        .iter()
        .map(|ghost| vec![("INSTANCE", ghost.instance.to_string()), ("STATE", "ghost".to_owned())]);
    machines.chain(intents).chain(foreign).chain(ghosts).collect()
}

fn queues(view: &View) -> Expected {
    let row = |outlook: &crate::model::plan::Outlook| {
        let settings = view.settings.queue(&outlook.queue).unwrap();
        let max = settings.limits.max.map_or_else(|| "-".to_owned(), |max| max.to_string());
        let own = view.snapshot.instances.iter().filter(|machine| machine.home == outlook.queue);
        let rate: i64 = own.filter_map(|machine| machine.rate).map(crate::model::money::Rate::micros_per_hour).sum();
        let today = view.spend.queue_today.iter().find(|(name, _)| *name == outlook.queue);
        vec![
            ("QUEUE", outlook.queue.to_string()),
            ("WAIT", outlook.waiting.to_string()),
            ("OLDEST", outlook.oldest.map_or_else(|| "-".to_owned(), |at| age(view.at.duration_since(at)))),
            ("RUN", outlook.running.to_string()),
            ("IDLE", outlook.idle.to_string()),
            ("START", outlook.starting.to_string()),
            ("MIN/MAX", format!("0/{max}")),
            ("$/H", dollars(rate)),
            ("TODAY", today.map_or_else(|| "0.00".to_owned(), |(_, money)| dollars(money.micros()))),
            ("FAULT", outlook.faults.to_string()),
        ]
    };
    view.plan.outlooks.iter().map(row).collect()
}

fn pools(view: &View) -> Expected {
    let row = |pool: &crate::model::settings::PoolSettings| {
        let up = view.snapshot.instances.iter().filter(|machine| machine.pool == pool.name && machine.counts()).count();
        let intents = view.snapshot.intents.iter().filter(|intent| intent.pool == pool.name).count();
        vec![
            ("POOL", pool.name.to_string()),
            ("UP", (up + intents).to_string()),
            ("MAX", pool.limits.max.map_or_else(|| "-".to_owned(), |max| max.to_string())),
            ("TYPE", pool.types[0].to_string()),
            ("LAUNCHES", "back off 1m30: capacity".to_owned()),
        ]
    };
    view.settings.pools.iter().map(row).collect()
}

fn journal(_: &View) -> Expected {
    let row = |entry: crate::model::journal::Entry| {
        vec![("BY", entry.by.to_string()), ("WHAT", entry.text.clone()), ("WHY", entry.reason.clone())]
    };
    seen::entries().into_iter().map(row).collect()
}

fn tasks(view: &View) -> Expected {
    let row = |task: crate::model::tasks::QueuedTask| {
        let place = if let TaskState::Waiting(place) = task.state { place.to_string() } else { "-".to_owned() };
        let of = |name: Option<String>| name.unwrap_or_else(|| "-".to_owned());
        vec![
            ("PLACE", place),
            ("STATE", task.state.word().to_owned()),
            ("FOR", task.since.map_or_else(|| "-".to_owned(), |since| age(view.at.duration_since(since)))),
            ("NAME", task.name.clone()),
            ("USER", of(task.owner.user.map(|user| user.to_string()))),
            ("PROJECT", of(task.owner.project.map(|project| project.to_string()))),
            ("ID", task.id.to_string()),
        ]
    };
    desk::tasks().into_iter().map(row).collect()
}

fn plan(view: &View) -> Expected {
    let acts = view.plan.actions.iter().map(|planned| {
        vec![("STEP", "act".to_owned()), ("WHAT", planned.action.to_string()), ("WHY", planned.reason.to_string())]
    });
    let refused = view.plan.refusals.iter().map(|refusal| {
        let text = refusal.reason.to_string();
        vec![("STEP", "refused".to_owned()), ("BY", refusal.by.to_string()), ("WHY", text)]
    });
    acts.chain(refused).collect()
}

fn settings(view: &View) -> Expected {
    let shown = |max: Option<u32>| max.map_or_else(|| "-".to_owned(), |max| max.to_string());
    let used = |covers: &dyn Fn(&crate::model::instance::Instance) -> bool, intents: usize| {
        view.snapshot.instances.iter().filter(|one| one.counts() && covers(one)).count() + intents
    };
    let all = [vec![("NAME", "everything".to_owned()), ("MAX", format!("{} of -", used(&|_| true, 1)))]];
    let budgets = view.settings.budgets.iter().map(|budget| {
        let state = view.spend.budgets.iter().find(|state| state.name == budget.name).unwrap();
        let used = state.spent + state.committed;
        let (per, over) = (budget.per, budget.scope.words());
        let kind = if budget.hard { "hard" } else { "soft" };
        let limit = crate::model::money::Exact(budget.limit);
        let more = format!("{used} of {limit} spent or committed, {per}, over {over}, {kind}");
        vec![("NAME", budget.name.to_string()), ("$/H", "-".to_owned()), ("MORE", more)]
    });
    let queues = view.settings.queues.iter().map(|queue| {
        let intents = view.snapshot.intents.iter().filter(|intent| intent.queue == queue.name).count();
        let used = used(&|one| one.home == queue.name, intents);
        vec![("NAME", queue.name.to_string()), ("MAX", format!("{used} of {}", shown(queue.limits.max)))]
    });
    let pools = view.settings.pools.iter().map(|pool| {
        let intents = view.snapshot.intents.iter().filter(|intent| intent.pool == pool.name).count();
        let used = used(&|one| one.pool == pool.name, intents);
        vec![("NAME", pool.name.to_string()), ("MAX", format!("{used} of {}", shown(pool.limits.max)))]
    });
    all.into_iter().chain(budgets).chain(queues).chain(pools).collect()
}

#[test]
fn the_stored_cells_are_the_scenarios_values() {
    let view = seen::rich();
    let tables: [(&str, OfView); 7] = [
        ("queues", queues),
        ("instances", instances),
        ("plan", plan),
        ("journal", journal),
        ("settings", settings),
        ("pools", pools),
        ("tasks", tasks),
    ];
    let mut compared = 0;
    for (name, expected) in tables {
        let keys = VIEWS.into_iter().find(|(known, _)| *known == name).unwrap().1;
        for file in [format!("look__{name}"), format!("stored__ascii_{name}")] {
            for (size, lines) in screens(&file) {
                let (found, expected) = (cells(keys, size, &lines), expected(&view));
                for (row, wanted) in found.iter().zip(&expected) {
                    for (column, value) in wanted {
                        let Some(cell) = row.get(column) else { continue };
                        // A state has its shape before its word.
                        let cell = if *column == "STATE" { cell.split_once(' ').unwrap().1 } else { cell };
                        assert!(says(cell, value), "{file} {size:?} {column}: `{cell}` is not `{value}`");
                        compared += 1;
                    }
                }
                let tall = size.1 >= 24;
                assert!(!tall || found.len() == expected.len(), "{file} {size:?}: {} rows", found.len());
            }
        }
    }
    assert!(compared > 800, "only {compared} cells were compared");
}

#[test]
fn what_is_read_rather_than_chosen_from_has_the_scenarios_values_too() {
    let view = seen::rich();
    let money = |money: crate::model::money::Money| money.to_string();
    let mut spend = vec![money(view.spend.today), money(view.spend.month), view.spend.rate.to_string()];
    spend.extend(view.spend.budgets.iter().flat_map(|budget| [budget.name.to_string(), money(budget.limit)]));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (name, values) in [
        ("spend", spend),
        ("logs", words(&["WARN the cloud is slow", "INFO the loop looks"])),
        ("console", words(&["epoch 1", "epoch 2"])),
        ("why", words(&["train", "5 wait", "pool.p4d.max"])),
        ("machine", words(&["i-held", "bo", "looking at it", "21.96"])),
        ("charts", words(&["busy 1", "idle 1", "faulty 1", "starting 1", "leaving 1"])),
        ("boot_log", words(&["Asking the cloud"])),
        ("help", words(&["Edit limits and budgets", "End the machine"])),
    ] {
        for file in [format!("look__{name}"), format!("stored__ascii_{name}")] {
            let (_, lines) = screens(&file).into_iter().find(|((width, _), _)| *width == 140).unwrap();
            let text = lines.join("\n");
            for value in &values {
                assert!(text.contains(value), "{file}: no `{value}` in\n{text}");
            }
        }
    }
}

/// The stored styles, laid out again: a name for each cell of a frame, row by row.
fn unrolled(text: &str, (width, height): (u16, u16), palette: Palette) -> Vec<Vec<char>> {
    let mut rows = vec![vec!['.'; usize::from(width)]; usize::from(height)];
    let head = format!("{width}x{height} {}", palette.word());
    let lines = text.lines().skip_while(|line| *line != head).skip(1);
    for line in lines.take_while(|line| line.contains(':')) {
        let (which, runs) = line.split_once(':').unwrap();
        let (first, last) = which.split_once('-').unwrap_or((which, which));
        let mut cells = Vec::new();
        for run in runs.split_whitespace() {
            let (name, length) = run.split_at(1);
            cells.extend(std::iter::repeat_n(name.chars().next().unwrap(), length.parse().unwrap()));
        }
        for row in first.parse::<usize>().unwrap()..=last.parse().unwrap() {
            rows[row - 1][..cells.len()].copy_from_slice(&cells);
        }
    }
    rows
}

#[test]
fn the_stored_styles_say_what_is_selected_and_what_is_wrong_in_every_look() {
    for (name, keys) in VIEWS {
        let text = stored(&format!("stored__styles_{name}"));
        let legend: BTreeMap<char, &str> = text
            .lines()
            .take_while(|line| !line.contains('x') || !line.starts_with(|letter: char| letter.is_ascii_digit()))
            .filter_map(|line| Some((line.chars().next()?, line.get(2..)?)))
            .collect();
        let text_of = screens(&format!("look__{name}"));
        for (size, lines) in &text_of {
            for palette in PALETTES {
                let rows = unrolled(&text, *size, palette);
                let is_table = {
                    let mut person = person();
                    person.press(keys);
                    person.state.is_table()
                };
                if is_table {
                    let selected = lines.iter().position(|line| line.starts_with('>')).unwrap();
                    let reversed = |cell: &char| legend.get(cell).is_some_and(|style| style.contains("REVERSED"));
                    assert!(rows[selected].iter().all(reversed), "{name} {size:?} {}", palette.word());
                }
                if palette == Palette::Mono {
                    let colours = ["Red", "Green", "Cyan", "Yellow", "Blue", "Gray"];
                    let coloured = |cell: &char| {
                        let style = legend.get(cell).copied().unwrap_or_default();
                        colours.iter().any(|colour| style.contains(colour))
                            || style.starts_with(|c: char| c.is_ascii_digit())
                    };
                    assert!(!rows.iter().flatten().any(coloured), "{name} {size:?}");
                }
            }
        }
    }
    // A fault is bold in each look, and red where there are colours.
    let text = stored("stored__styles_instances");
    let lines = &screens("look__instances")[0].1;
    let row = lines.iter().position(|line| line.contains("✖ stuck")).unwrap();
    let column = lines[row].chars().position(|letter| letter == '✖').unwrap();
    for (palette, wanted) in [(Palette::Dark, "LightRed"), (Palette::Light, "124"), (Palette::Mono, "BOLD")] {
        let name = unrolled(&text, (140, 40), palette)[row][column];
        let style = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert!(style.contains(wanted) && style.contains("BOLD"), "{}: {style}", palette.word());
    }
}
