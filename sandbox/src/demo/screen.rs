//! Where the demo is heard: a progress view on a terminal, plain lines otherwise.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The demo's output.
#[derive(Debug, Clone)]
pub struct Screen {
    bar: Option<ProgressBar>,
    color: bool,
    silent: bool,
}

impl Screen {
    /// Looks at standard output: a terminal gets colours and a line that moves.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("   {spinner} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let color = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { bar, color, silent: false }
    }

    /// Says nothing: what fails is an error all the same.
    pub const fn silent() -> Self {
        Self { bar: None, color: false, silent: true }
    }

    fn print(&self, text: &str) {
        if self.silent {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{text}")),
            None => println!("{text}"),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A new chapter.
    pub fn chapter(&self, text: &str) {
        self.print(&format!("\n{}", self.paint("1", text)));
    }

    /// Something is as it should be.
    pub fn done(&self, text: &str) {
        self.print(&format!("   {} {text}", self.paint("32", "✓")));
    }

    /// Something is not as it should be.
    pub fn failed(&self, text: &str) {
        self.print(&format!("   {} {text}", self.paint("31", "✗")));
    }

    /// A command that a person types.
    pub fn command(&self, text: &str) {
        self.print(&format!("   {} {}", self.paint("36", "$"), self.paint("36", text)));
    }

    /// What a person does.
    pub fn person(&self, text: &str) {
        self.print(&format!("     {} {text}", self.paint("35", "☞")));
    }

    /// What the operator did in a cloud.
    pub fn cloud(&self, text: &str) {
        self.print(&format!("     {}", self.paint("2", text)));
    }

    /// What a resource says of itself.
    pub fn status(&self, text: &str) {
        self.print(&format!("   {} {text}", self.paint("33", "●")));
    }

    /// Plain text.
    pub fn text(&self, text: &str) {
        self.print(&format!("   {text}"));
    }

    /// What is being waited for; only a terminal shows it.
    pub fn waiting(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Nothing is being waited for any more.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
