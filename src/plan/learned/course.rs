//! Watches how the need for each pool's machines goes, from look to look.

use jiff::{SignedDuration, Timestamp};

use super::keep::LONGEST;
use crate::model::course::{Course, Fall, Lesson, OpenRise, Rise};
use crate::model::ids::PoolName;

/// Goes on with a pool's course: `needed` machines serve tasks or will, `asked` would if they could be had.
pub(in crate::plan) fn go_on(
    course: &mut Course,
    pool: &PoolName,
    needed: u32,
    asked: u32,
    now: Timestamp,
    lessons: &mut Vec<Lesson>,
) {
    let before = course.asked.back().map_or(0, |(_, asked)| *asked);
    gaps(course, pool, needed, now, lessons);
    rises(course, pool, asked, now, lessons);
    look_back(course, asked, now);
    if asked > before {
        let rise = rise(course, asked, now);
        course.rises.push_back(OpenRise { at: now, from: asked, rise });
    }
}

fn gaps(course: &mut Course, pool: &PoolName, needed: u32, now: Timestamp, lessons: &mut Vec<Lesson>) {
    while course.needed > needed {
        course.needed -= 1;
        course.fell.push(Fall { at: now, rose: course.rose.pop().unwrap_or(now) });
    }
    let mut ended = Vec::new();
    while course.needed < needed {
        course.needed += 1;
        ended.extend(course.fell.pop());
        course.rose.push(now);
    }
    let long = course.fell.iter().take_while(|fall| now.duration_since(fall.at) > LONGEST).count();
    ended.extend(course.fell.drain(..long));
    // What falls together and rises together is one experience, be it of one machine or of fifty.
    ended.dedup();
    for Fall { at, rose } in ended {
        lessons.push(Lesson::Gap { pool: pool.clone(), lasted: now.duration_since(at) });
        lessons.push(Lesson::Interval { pool: pool.clone(), lasted: now.duration_since(rose) });
    }
}

/// The rises before go on, or are over.
fn rises(course: &mut Course, pool: &PoolName, asked: u32, now: Timestamp, lessons: &mut Vec<Lesson>) {
    while let Some(open) = course.rises.pop_front_if(|open| now.duration_since(open.at) >= Rise::WITHIN) {
        lessons.push(Lesson::Rise { pool: pool.clone(), rise: open.rise });
    }
    for open in &mut course.rises {
        open.rise.more = open.rise.more.max(asked.saturating_sub(open.from));
    }
}

/// Keeps of the past what a rise is measured by: what was asked for at the beginning of that time, and since.
fn look_back(course: &mut Course, asked: u32, now: Timestamp) {
    if course.asked.back().is_none_or(|(_, before)| *before != asked) {
        course.asked.push_back((now, asked));
    }
    let old = |since: Timestamp| now.duration_since(since) >= Rise::WITHIN;
    while course.asked.get(1).is_some_and(|(since, _)| old(*since)) {
        course.asked.pop_front();
    }
}

/// How what is asked for rose up to now.
pub(in crate::plan) fn rise(course: &Course, asked: u32, now: Timestamp) -> Rise {
    let over = |span: SignedDuration| {
        let places = course.asked.iter().zip(course.asked.iter().skip(1).map(Some).chain([None]));
        // One that ended before the time looked back on says nothing of it.
        let least = places
            .filter(|(_, next)| next.is_none_or(|(until, _)| now.duration_since(*until) < span))
            .map(|((_, asked), _)| *asked)
            .min();
        asked.saturating_sub(least.unwrap_or(asked))
    };
    Rise { over: over(Rise::WITHIN), lately: over(Rise::LATELY), more: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_793_606_400 + seconds).unwrap()
    }

    /// Looks at times with what is needed then; the lessons in short.
    fn learned(looks: &[(i64, u32)]) -> Vec<String> {
        let (mut course, mut lessons) = (Course::default(), Vec::new());
        for (seconds, needed) in looks {
            go_on(&mut course, &"gpu".into(), *needed, *needed, at(*seconds), &mut lessons);
        }
        let told = |lesson: &Lesson| match lesson {
            Lesson::Gap { lasted, .. } => format!("gap {}", lasted.as_secs()),
            Lesson::Interval { lasted, .. } => format!("interval {}", lasted.as_secs()),
            Lesson::Rise { rise: Rise { over, lately, more }, .. } => format!("rise {over} {lately} {more}"),
        };
        lessons.iter().map(told).collect()
    }

    fn told(kind: &str, looks: &[(i64, u32)]) -> Vec<String> {
        learned(looks).into_iter().filter(|lesson| lesson.starts_with(kind)).collect()
    }

    fn gaps(looks: &[(i64, u32)]) -> Vec<String> {
        told("gap", looks)
    }

    #[test]
    fn a_gap_is_from_the_fall_below_a_level_to_the_rise_to_it_whatever_runs_meanwhile() {
        assert_eq!(gaps(&[(0, 2), (100, 1), (160, 2)]), ["gap 60"]);
        // The last to fall is the first to rise.
        assert_eq!(gaps(&[(0, 3), (100, 2), (200, 0), (230, 1), (300, 3)]), ["gap 30", "gap 100", "gap 200"]);
        assert_eq!(gaps(&[(0, 1), (10, 0), (2_710, 0), (2_711, 0), (9_999, 1)]), ["gap 2701"], "long, and told once");
    }

    #[test]
    fn an_interval_is_from_a_rise_to_the_next_however_long_it_is_needed() {
        let looks = [(0, 0), (100, 1), (180, 0), (700, 1), (1_066, 0), (1_300, 1)];
        assert_eq!(gaps(&looks), ["gap 520", "gap 234"]);
        assert_eq!(told("interval", &looks), ["interval 600", "interval 600"]);
    }

    #[test]
    fn what_falls_and_rises_together_is_told_once() {
        assert_eq!(gaps(&[(0, 50), (100, 1), (400, 50)]), ["gap 300"]);
        assert_eq!(gaps(&[(0, 50), (100, 40), (110, 1), (400, 50)]), ["gap 290", "gap 300"]);
        assert_eq!(gaps(&[(0, 50), (100, 1), (2_801, 1)]), ["gap 2701"]);
    }

    #[test]
    fn a_rise_is_told_when_it_is_known_how_it_went_on() {
        let rises: Vec<_> = learned(&[(0, 2), (200, 3), (290, 5), (310, 4), (400, 9), (700, 0), (1_000, 0)]);
        let rises: Vec<_> = rises.into_iter().filter(|lesson| lesson.starts_with("rise")).collect();
        assert_eq!(rises, ["rise 0 0 3", "rise 1 1 6", "rise 3 2 4", "rise 7 5 0"]);
        // What ended a minute ago is not of the last minute.
        assert_eq!(learned(&[(0, 2), (60, 3), (120, 5), (500, 5)]), ["rise 0 0 3", "rise 1 1 2", "rise 3 2 0"]);
        assert_eq!(learned(&[(0, 2), (100, 2), (500, 2)]), ["rise 0 0 0"], "what stays the same is none");
    }

    proptest! {
        #[test]
        fn the_past_that_is_kept_stays_small(looks in proptest::collection::vec((1_i64..400, 0_u32..9), 1..200)) {
            let (mut course, mut lessons, mut now) = (Course::default(), Vec::new(), 0);
            for (passed, needed) in looks {
                now += passed;
                go_on(&mut course, &"gpu".into(), needed, needed, at(now), &mut lessons);
                prop_assert!(course.fell.len() <= 9 && course.needed == needed);
                prop_assert!(course.fell.is_sorted_by_key(|fall| fall.at));
                prop_assert!(course.asked.iter().skip(1).all(|(since, _)| at(now).duration_since(*since) < Rise::WITHIN));
            }
            let risen = |lesson: &Lesson| matches!(lesson, Lesson::Gap { lasted, .. } | Lesson::Interval { lasted, .. } if lasted.is_negative());
            prop_assert!(!lessons.iter().any(risen));
        }
    }
}
