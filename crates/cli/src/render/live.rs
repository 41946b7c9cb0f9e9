//! A picture at the end of the terminal that is redrawn in place, with lines scrolling above it.

use std::{io::Write as _, os::fd::AsFd};

use rustix::termios::tcgetwinsize;

use super::paint::cut;

/// Width where the terminal does not say.
const WIDTH: usize = 100;

/// What is drawn now.
#[derive(Debug, Default)]
pub(crate) struct Live {
    picture: String,
    drawn: usize,
}

impl Live {
    /// Prints a line above the picture.
    pub(crate) fn print_above(&mut self, line: &str) {
        let text = format!("{}{line}\n", self.erase());
        let picture = self.paint();
        write(&format!("{text}{picture}"));
    }

    /// Draws another picture in place of the one before.
    pub(crate) fn draw(&mut self, picture: &str) {
        if self.picture == picture {
            return;
        }
        let erase = self.erase();
        picture.clone_into(&mut self.picture);
        let picture = self.paint();
        write(&format!("{erase}{picture}"));
    }

    /// Leaves the picture where it is.
    pub(crate) fn leave(&mut self) {
        self.picture.clear();
        self.drawn = 0;
    }

    fn erase(&mut self) -> String {
        let up = std::mem::take(&mut self.drawn);
        if up == 0 { String::new() } else { format!("\x1b[{up}A\x1b[J") }
    }

    fn paint(&mut self) -> String {
        let (width, height) = size();
        // Higher than the screen it could not be erased again.
        let lines: Vec<String> =
            self.picture.lines().take(height.saturating_sub(2)).map(|line| cut(line, width)).collect();
        self.drawn = lines.len();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Columns of the terminal that is written to, if it is one.
pub(super) fn width() -> Option<usize> {
    columns_of(std::io::stdout())
}

pub(super) fn columns_of(terminal: impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(terminal).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns != 0)
}

fn size() -> (usize, usize) {
    tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col != 0)
        .map_or((WIDTH, 50), |size| (size.ws_col.into(), size.ws_row.into()))
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone cannot be told.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
