//! Manual pages, made of what `--help` says. Packages write them with the commands' hidden subcommand `man`:
//!
//! ```sh
//! for page in $(refvsr man); do refvsr man "$page" > "$page.1"; done
//! ```
#![deny(missing_docs)]

use clap::Command;
use clap_mangen::Man;
use std::io;

/// Arguments of the subcommand `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The page to print; without it the names of all pages are printed
    page: Option<String>,
}

/// What the subcommand `man` prints for a command line: the names of its pages, or one page.
///
/// # Errors
///
/// When there is no page of that name.
pub fn print(mut command: Command, args: &Args) -> io::Result<String> {
    command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    gather(&command, &mut pages);
    let names: Vec<_> = pages.iter().map(|page| name(page)).collect();
    let Some(wanted) = &args.page else {
        return Ok(names.join("\n"));
    };
    let Some(at) = names.iter().position(|name| name == wanted) else {
        let message = format!(
            "there is no page {wanted}; expected one of: {}",
            names.join(" ")
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    };
    let mut text = Vec::new();
    Man::new(pages[at].clone()).render(&mut text)?;
    String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The command and all of its subcommands that are shown.
fn gather<'a>(command: &'a Command, pages: &mut Vec<&'a Command>) {
    pages.push(command);
    for command in command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        gather(command, pages);
    }
}

/// `refvsr-transcode`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn command() -> Command {
        let verify = Command::new("verify").arg(Arg::new("deep").long("deep").help("Look at all"));
        Command::new("tool")
            .subcommand(Command::new("data").subcommand(verify))
            .subcommand(Command::new("man").hide(true))
    }

    fn shown(page: Option<&str>) -> io::Result<String> {
        let page = page.map(str::to_owned);
        print(command(), &Args { page })
    }

    #[test]
    fn every_subcommand_that_is_shown_has_a_page() {
        assert_eq!(shown(None).unwrap(), "tool\ntool-data\ntool-data-verify");
        let page = shown(Some("tool-data-verify")).unwrap();
        assert!(
            page.contains(".TH") && page.contains("Look at all"),
            "{page}"
        );
        let message = shown(Some("tool-man")).unwrap_err().to_string();
        assert!(message.contains("tool-data-verify"), "{message}");
    }
}
