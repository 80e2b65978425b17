//! The terminal: entered, left, entered again. Whoever leaves this program in whatever way finds it as it was.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;

/// Why no screen can be here, if so: frames go to standard output; keys come from standard input, or from the terminal that
/// this process belongs to.
pub(super) fn lacking() -> Option<&'static str> {
    if !io::stdout().is_terminal() {
        return Some("standard output is none");
    }
    let has_keys = || io::stdin().is_terminal() || File::options().read(true).write(true).open("/dev/tty").is_ok();
    (!has_keys()).then_some("standard input is none, and this process belongs to none")
}

/// Standard output, until nothing more is to be said there.
#[derive(Debug)]
struct Out(Rc<Cell<bool>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.get() { Ok(bytes.len()) } else { io::stdout().write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.0.get() { Ok(()) } else { io::stdout().flush() }
    }
}

type Screen = ratatui::Terminal<CrosstermBackend<Out>>;

/// The screen of this process, taken over until it is dropped.
#[derive(Debug)]
pub(super) struct Terminal {
    screen: Screen,
    /// The screen says nothing more. When it goes it would show the cursor, and complain where it cannot: on a standard
    /// error that may be as dead as the terminal, which is a panic. The cursor is ours to show.
    hushed: Rc<Cell<bool>>,
    open: bool,
    /// The mouse is ours.
    mouse: bool,
    is_damaged: bool,
}

/// Puts the terminal back, whoever holds it; safe to do twice.
pub(super) fn restore() -> io::Result<()> {
    let mut out = io::stdout();
    let left = execute!(out, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
    disable_raw_mode()?;
    left
}

impl Terminal {
    pub(super) fn enter() -> io::Result<Self> {
        let (screen, hushed) = Self::screen()?;
        let mut terminal = Self { screen, hushed, open: false, mouse: false, is_damaged: false };
        terminal.open()?;
        Ok(terminal)
    }

    fn screen() -> io::Result<(Screen, Rc<Cell<bool>>)> {
        let hushed = Rc::new(Cell::new(false));
        Ok((ratatui::Terminal::new(CrosstermBackend::new(Out(Rc::clone(&hushed))))?, hushed))
    }

    fn open(&mut self) -> io::Result<()> {
        // From here on it must be put back, even if the next step fails.
        self.open = true;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide, EnableBracketedPaste)?;
        self.is_damaged = true;
        self.take_mouse(self.mouse)
    }

    /// It may show something else than what was drawn last: the next frame paints everything.
    pub(super) fn damaged(&mut self) {
        self.is_damaged = true;
    }

    fn clear(&mut self) -> io::Result<()> {
        // A new one: its own `clear` would wait for the terminal to tell where its cursor is.
        let (screen, hushed) = Self::screen()?;
        self.hushed.set(true);
        (self.screen, self.hushed) = (screen, hushed);
        execute!(io::stdout(), Clear(ClearType::All))
    }

    /// Takes the mouse, or leaves it to the terminal.
    pub(super) fn take_mouse(&mut self, mouse: bool) -> io::Result<()> {
        self.mouse = mouse;
        if mouse { execute!(io::stdout(), EnableMouseCapture) } else { execute!(io::stdout(), DisableMouseCapture) }
    }

    pub(super) fn close(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) { restore() } else { Ok(()) }
    }

    /// Takes the terminal over again, whatever has become of it.
    pub(super) fn reenter(&mut self) -> io::Result<()> {
        // Else it is taken for raw still, whatever a shell has made of it.
        disable_raw_mode()?;
        self.open()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn size(&self) -> io::Result<Rect> {
        let size = self.screen.size()?;
        Ok(Rect::new(0, 0, size.width, size.height))
    }

    pub(super) fn draw(&mut self, frame: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if std::mem::take(&mut self.is_damaged) {
            self.clear()?;
        }
        self.screen.draw(frame).map(|_| ())
    }

    /// Gives the terminal back and stops this process until the shell continues it.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        let was_open = self.open;
        self.close()?;
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        // Else an editor has it.
        if was_open { self.open() } else { Ok(()) }
    }

    /// To the clipboard of the terminal, wherever that is (OSC 52).
    pub(super) fn copy(text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        write!(out, "\x1b]52;c;{}\x07", STANDARD.encode(text))?;
        out.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whoever was there may be gone.
        let _ = self.close();
        self.hushed.set(true);
    }
}
