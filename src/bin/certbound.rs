//! The command `certbound`: what the filter knows, on a desk. Arguments, output and exit codes; the rest is
//! [`certbound::desk`].

// Cargo would put this file in the place of the filter, which has the same name.
#[cfg(target_arch = "wasm32")]
compile_error!("the filter is the library: build it with `make module`, or with --lib");

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use certbound::certificate::dialect::Dialect;
use certbound::desk::certificate_file::LARGEST;
use certbound::desk::inspect::Inspection;
use clap::{Parser, Subcommand, ValueEnum};

/// OAuth 2.0 bound to mutual TLS (RFC 8705), on a desk.
///
/// Exit codes: 0 for an answer, 2 where the arguments or the files do not allow one.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(Inspect),
}

/// Says what is in a certificate: its thumbprint (x5t#S256), names, dates and key.
///
/// Names are RFC 4514 strings, times RFC 3339 in UTC, the serial number hexadecimal.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  certbound inspect client.pem
  certbound inspect client.pem --dialect gluu --dialect rfc9440
  openssl s_client -connect api.example.com:443 < /dev/null | certbound inspect --format json -")]
struct Inspect {
    /// A certificate in PEM, percent-encoded PEM, DER or base64; `-` is the standard input.
    file: PathBuf,
    /// Also print the header in which this dialect hands the certificate over, as it names itself in the configuration.
    #[arg(long = "dialect", value_name = "NAME", value_parser = |name: &str| Dialect::try_from(name.to_owned()))]
    dialects: Vec<Dialect>,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Inspect(arguments) => inspect(&arguments),
    };
    let printed = answer.and_then(|text| match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads the output has read enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| format!("standard output: {error}")),
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&message);
            ExitCode::from(2)
        }
    }
}

fn inspect(arguments: &Inspect) -> Result<String, String> {
    let name = shown(&arguments.file);
    let bytes = content(&arguments.file).map_err(|error| format!("{name}: {error}"))?;
    let inspection = Inspection::of_file(&bytes, &arguments.dialects).map_err(|error| format!("{name} is {error}"))?;
    if inspection.certificates() > 1 {
        say(&format!("{name} has {} certificates; this is the first", inspection.certificates()));
    }
    Ok(match arguments.format {
        Format::Text => inspection.to_string(),
        Format::Json => format!("{}\n", inspection.json()),
    })
}

/// The bytes of a file, or of the standard input for `-`; of a large one just enough to see that it is.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let input: &mut dyn Read = if is_standard_input(path) { &mut io::stdin() } else { &mut File::open(path)? };
    let mut bytes = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    input.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// How a message names a file: on one line, and nothing in it that a terminal obeys.
fn shown(path: &Path) -> String {
    if is_standard_input(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string().escape_debug().to_string()
    }
}

/// A message to the operator. If nobody can read it, there is nobody to tell.
fn say(message: &str) {
    let _ = writeln!(io::stderr(), "certbound: {message}");
}
