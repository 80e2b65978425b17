//! A policy as a Rhai script. It sees the world as data in `world` and its queue's name in `queue`, and its last value is its
//! answer. It has no files, no network, no clock and no modules, and ends after so many operations or so much time.

use std::sync::Arc;

use jiff::SignedDuration;
use rhai::{AST, Dynamic, Engine, EvalAltResult, ParseError, Position, Scope};

use crate::engine::advise::AdviceError;
use crate::world::clock::Clock;

/// What a script is told, as it calls it.
const WORLD: &str = "world";
const QUEUE: &str = "queue";

/// Far more than a policy over thousands of tasks needs.
const OPERATIONS: u64 = 500_000;
/// The loop waits for it.
const LONGEST: SignedDuration = SignedDuration::from_millis(250);
/// The clock is read once in so many operations, each of which may be slow.
const LOOK: u64 = 64;

/// Elements of an array or a map, those within them included.
const ELEMENTS: usize = 100_000;
const TEXT: usize = 100_000;
const CALLS: usize = 32;
const DEPTH: usize = 64;
const VARIABLES: usize = 1_000;
const FUNCTIONS: usize = 200;

/// A compiled script.
pub(super) struct Script {
    name: String,
    engine: Engine,
    ast: AST,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Script {
    /// Compiles it. `name`: as errors call it.
    pub(super) fn compile(name: &str, text: &str) -> Result<Self, AdviceError> {
        // No constants: their values would be taken for good.
        let mut scope = Scope::new();
        scope.push_dynamic(WORLD, Dynamic::UNIT).push_dynamic(QUEUE, Dynamic::UNIT);
        let engine = engine();
        let ast = engine.compile_with_scope(&scope, text).map_err(|error| not_a_script(name, &error))?;
        Ok(Self { name: name.to_owned(), engine, ast })
    }

    /// Its answer for a queue. `clock`: by which it ends; without one by its operations only, so that a replay is the same
    /// on every machine.
    pub(super) fn ask(&mut self, world: &Dynamic, queue: &str, clock: Option<Clock>) -> Result<Dynamic, AdviceError> {
        if let Some(clock) = clock {
            let begun = clock.now();
            self.engine.on_progress(move |operations| {
                let late = || clock.now().duration_since(begun) > LONGEST;
                (operations % LOOK == 0 && late()).then(|| Dynamic::from(format!("it took longer than {LONGEST:#}")))
            });
        }
        let mut scope = Scope::new();
        scope.push_constant_dynamic(WORLD, world.clone());
        scope.push_constant(QUEUE, queue.to_owned());
        self.engine.eval_ast_with_scope(&mut scope, &self.ast).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &EvalAltResult) -> AdviceError {
        let message = match error {
            EvalAltResult::ErrorTooManyOperations(_) => format!("it took more than {OPERATIONS} operations"),
            EvalAltResult::ErrorTerminated(said, _) | EvalAltResult::ErrorRuntime(said, _) => said.to_string(),
            other => without_place(other),
        };
        at(&self.name, error.position(), message)
    }
}

/// What a script may do, and how much of it.
fn engine() -> Engine {
    let mut engine = Engine::new();
    engine
        .set_max_operations(OPERATIONS)
        .set_max_call_levels(CALLS)
        .set_max_expr_depths(DEPTH, DEPTH)
        .set_max_string_size(TEXT)
        .set_max_array_size(ELEMENTS)
        .set_max_map_size(ELEMENTS)
        .set_max_variables(VARIABLES)
        .set_max_functions(FUNCTIONS)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .disable_symbol("eval")
        // What it prints is nobody's.
        .on_print(|_| ())
        .on_debug(|_, _, _| ());
    let no = || -> Result<(), Box<EvalAltResult>> { Err("a policy may not wait".into()) };
    engine.register_fn("sleep", move |_: i64| no());
    engine.register_fn("sleep", move |_: f64| no());
    engine
}

fn not_a_script(name: &str, error: &ParseError) -> AdviceError {
    at(name, error.position(), error.err_type().to_string())
}

/// Its words; the place is told apart.
fn without_place(error: &EvalAltResult) -> String {
    let text = error.to_string();
    let place = format!(" ({})", position_words(error.position()));
    text.strip_suffix(&place).map_or_else(|| text.clone(), str::to_owned)
}

fn position_words(position: Position) -> String {
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!("line {line}, position {column}"),
        (Some(line), None) => format!("line {line}"),
        _ => String::new(),
    }
}

fn at(name: &str, position: Position, message: String) -> AdviceError {
    AdviceError::Script {
        policy: Arc::from(name),
        line: position.line().unwrap_or_default(),
        column: position.position().unwrap_or_default(),
        message,
    }
}
