//! How many keys the commonest things take, from the demo's first frame at 80x24.

use super::terminal::Terminal;

/// What stands in a row of a table; nothing while the screen is being drawn.
fn cell(text: &str, name: &str, place: usize) -> String {
    let row = text.lines().find(|line| line.trim_start_matches(['>', ' ']).starts_with(name));
    row.and_then(|row| row.split_whitespace().nth(place)).unwrap_or_default().to_owned()
}

fn is_some(count: &str) -> bool {
    count.parse::<u32>().is_ok_and(|count| count > 0)
}

#[test]
fn why_a_queue_waits_takes_two_keys_at_most() {
    // So slow that nothing happens meanwhile.
    let mut terminal = Terminal::demo(&["--seed", "7", "--speed", "5"]);
    let text = terminal.until("a queue that waits", |text| is_some(&cell(text, "cpu-small", 1)));
    assert!(text.contains(">cpu-small"), "{text}");
    let waiting = format!("{} waiting", cell(&text, "cpu-small", 1));
    terminal.press("w");
    terminal.until("its reason", |text| {
        text.contains("The last pass") && text.contains("wait (oldest") && text.contains(&waiting)
    });
    assert!(terminal.pressed <= 2);
}

#[test]
fn raising_a_limit_takes_six_keys_at_most() {
    let mut terminal = Terminal::demo(&["--seed", "7"]);
    terminal.until("the limit", |text| cell(text, "cpu-small", 6) == "0/4");
    terminal.press("e");
    terminal.until("the form", |text| text.contains("queue.cpu-small") || text.contains("Ctrl-S"));
    for key in ["\u{7f}", "9", "\u{13}"] {
        terminal.press(key);
    }
    terminal.until("the new limit", |text| text.lines().any(|line| line.contains("cpu-small") && line.contains("0/9")));
    assert!(terminal.pressed <= 6, "{}", terminal.pressed);
}

#[test]
fn draining_the_dearest_machine_takes_five_keys_at_most() {
    let mut terminal = Terminal::demo(&["--seed", "7", "--speed", "30"]);
    // Once there are machines of two prices.
    terminal.until("machines", |text| ["cpu-small", "gpu-small"].iter().all(|queue| is_some(&cell(text, queue, 3))));
    terminal.press("2");
    terminal.until("the machines", |text| text.contains("INSTANCE"));
    terminal.press("$");
    let price = |line: &str| -> Option<f64> {
        line.split_whitespace().find_map(|word| word.parse().ok().filter(|_| word.contains('.')))
    };
    let fall = |text: &str| {
        let prices: Vec<f64> = text.lines().filter(|line| line.contains("i-0")).filter_map(price).collect();
        prices.len() >= 2 && prices.windows(2).all(|two| two[0] >= two[1])
    };
    let text = terminal.until("the dearest first", |text| text.contains("by $/H, falling") && fall(text));
    let dearest = text.lines().find(|line| line.starts_with('>')).unwrap().split_whitespace().next().unwrap();
    let dearest = dearest.trim_start_matches('>').to_owned();
    terminal.press("d");
    terminal.until("the question", |text| text.contains(&format!("Drain {dearest}?")));
    terminal.press("y");
    terminal.until("the drain", |text| {
        text.lines().any(|line| line.contains(&dearest) && (line.contains("drain") || line.contains("stopping")))
    });
    assert!(terminal.pressed <= 5, "{}", terminal.pressed);
}

#[test]
fn an_emergency_stop_takes_four_keys_at_most_and_one_question() {
    let mut terminal = Terminal::demo(&["--seed", "7"]);
    terminal.until("a machine", |text| text.contains("booting"));
    terminal.press("X");
    let text = terminal.until("the question", |text| text.contains("EMERGENCY STOP of demo?"));
    let asked = text.split("Type ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    for digit in asked.chars() {
        terminal.press(&digit.to_string());
    }
    terminal.press("\r");
    terminal.until("the stop", |text| text.contains("PAUSED"));
    assert!(terminal.pressed <= 4, "{}", terminal.pressed);
}

#[test]
fn a_wrong_key_a_large_paste_and_any_size_are_survived() {
    let mut terminal = Terminal::demo(&["--seed", "7"]);
    terminal.press("d");
    terminal.until("why not", |text| text.contains("select a machine first"));
    // A megabyte into a field: what fits is kept, and the screen goes on.
    terminal.press("/");
    terminal.until("the filter", |text| text.contains("/_"));
    terminal.paste(&"x".repeat(1 << 20));
    terminal.until("the paste", |text| text.contains("/xxx"));
    terminal.press("\u{1b}");
    terminal.until("no filter", |text| !text.contains("/xxx") && text.contains("cpu-small"));
    for (columns, rows) in [(20, 3), (40, 10), (200, 60), (1, 1), (80, 24)] {
        terminal.resize(columns, rows);
        terminal.until("something", |text| !text.trim().is_empty());
    }
    terminal.until("all of it", |text| text.contains("cpu-small"));
    // Two changes are heard of as one, by the size that it had before; what it showed is lost all the same.
    terminal.resize(20, 3);
    terminal.resize(80, 24);
    terminal.until("all of it again", |text| text.contains("cpu-small"));
}
