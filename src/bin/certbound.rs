// SPDX-License-Identifier: Apache-2.0

//! The command `certbound`: what the filter knows, on a desk. Arguments, output and exit codes; the rest is
//! [`certbound::desk`].

// Cargo would put this file in the place of the filter, which has the same name.
#[cfg(target_arch = "wasm32")]
compile_error!("the filter is the library: build it with `make module`, or with --lib");

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use certbound::desk::certificate_file::CertificateFile;
use certbound::desk::check::check;
use certbound::desk::explain::Question;
use certbound::desk::inspect::Inspection;
use certbound::desk::inspect_keys::KeySetInspection;
use certbound::desk::inspect_token::TokenInspection;
use certbound::desk::printed_name::PrintedName;
use certbound::desk::reason_entry::ReasonEntry;
use certbound::desk::schema::{file_schema, schema};
use certbound::handover::dialect::Dialect;
use certbound::time::UnixTime;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// In bytes: more than any configuration of the field, and than any certificate.
const LARGEST_TEXT: usize = 16 * 1024 * 1024;

/// OAuth 2.0 bound to mutual TLS (RFC 8705), on a desk.
///
/// Exit codes: 0 for success, 2 if the arguments or the files are wrong; `check` has 1 for warnings too.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(Inspect),
    Check(Check),
    Explain(Box<Explain>),
    Reason(ReasonOf),
    Schema(OfWhat),
}

/// Says what is in a certificate: its thumbprint (x5t#S256), names, dates and key. Or, of a JSON Web Key Set, which of its keys
/// verify tokens, and why the others do not. Or, of a signed token, its header and its claims, which are not verified.
///
/// The subject is the string that Spring (x509CertificateSubjectDN) and Keycloak (x509.subjectdn) compare; Keycloak's
/// x509.casubjectdn is the subject of the root, not the issuer.
///
/// Names are RFC 4514 strings, times RFC 3339 in UTC, the serial number hexadecimal.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  certbound inspect client.pem
  certbound inspect client.pem --dialect gluu --dialect rfc9440
  certbound inspect --dn 'C = GB, O = \"Example, Inc.\", CN = client'
  curl -s https://as.example.com/jwks | certbound inspect -
  openssl s_client -connect api.example.com:443 < /dev/null | certbound inspect --format json -")]
struct Inspect {
    /// A certificate in PEM, percent-encoded PEM, DER or base64, a key set in JSON, or a JWT; `-` is the standard input.
    #[arg(required_unless_present = "dn")]
    file: Option<PathBuf>,
    /// Print a distinguished name, as a tool printed it, as a string of RFC 4514.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "dialects", "format"])]
    dn: Option<String>,
    /// Also print the header in which this dialect hands the certificate over, as it names itself in the configuration.
    #[arg(long = "dialect", value_name = "NAME", value_parser = |name: &str| Dialect::try_from(name.to_owned()))]
    dialects: Vec<Dialect>,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Reads configurations before a proxy does: what each policy will do, what would not load, and what around the filter
/// works against it.
///
/// A file is a plugin configuration, YAML or JSON, or a whole file of Envoy, Istio or Envoy Gateway, in which every
/// configuration of certbound is found. Files that belong together are given together.
///
/// Exit codes: 0 without errors, 1 for warnings with --strict, 2 for errors.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  certbound check envoy.yaml
  certbound check --strict envoy.yaml certbound.ecds.yaml
  certbound check --format sarif k8s/*.yaml > certbound.sarif")]
struct Check {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Exit with 1 where there are warnings.
    #[arg(long)]
    strict: bool,
    /// For people, for programs, or for what shows findings beside the lines of a file (SARIF 2.1.0).
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum ReportFormat {
    #[default]
    Text,
    Json,
    Sarif,
}

/// Says what a reason means, and what to do, as the manual has it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  certbound reason certificate_mismatch
  certbound reason --format json")]
struct ReasonOf {
    /// The reason, as the log names it; default: all of them.
    name: Option<String>,
    /// For people or for programs: one JSON object a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints a JSON Schema (2020-12), by which an editor completes and checks a configuration.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  certbound schema > certbound.schema.json
  certbound schema --of file > file.schema.json")]
struct OfWhat {
    /// A plugin configuration, or a file with one in it, for which the other schema must stand beside this one.
    #[arg(long, value_enum, default_value_t)]
    of: Of,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Of {
    #[default]
    Configuration,
    File,
}

/// Says what the filter would do with a request, and why, step by step.
///
/// The request is JSON: {"method", "path", "headers": [[name, value], ...], "body"}. No token is printed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  certbound explain --config envoy.yaml --request request.json --certificate client.pem
  certbound explain --config api.yaml --request request.json --keys jwks.json --now 1800000000 --format json")]
struct Explain {
    /// A plugin configuration, or a file of Envoy, Istio or Envoy Gateway with one of certbound in it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The policy, as the metadata of a route names it; default: what the configuration chooses.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// The request.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The certificate that the client presented, as `inspect` reads it; default: none.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Whether the proxy validated the chain of that certificate.
    #[arg(long, value_name = "true|false", action = ArgAction::Set, requires = "certificate")]
    validated: Option<bool>,
    /// The server name that the client asked for in the TLS handshake.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// What the authorization server publishes at its jwks_uri, or the client at its; ISSUER= or CLIENT_ID= where keys of
    /// several are fetched.
    #[arg(long = "keys", value_name = "[ISSUER=]FILE")]
    keys: Vec<String>,
    /// The introspection response about the token (RFC 7662): JSON, or a JWT where that is configured.
    #[arg(long, value_name = "FILE")]
    introspection: Option<PathBuf>,
    /// The response of the authorization server behind the filter: {"status", "headers": [[name, value], ...], "body"}.
    #[arg(long = "answer", value_name = "FILE")]
    response: Option<PathBuf>,
    /// The payload of the token, as JSON, that jwt_authn left under this name.
    #[arg(long = "verified-payload", value_name = "NAME=FILE")]
    verified_payloads: Vec<String>,
    /// The time of the request, in seconds since 1970; default: now.
    #[arg(long, value_name = "UNIX_SECONDS")]
    now: Option<u64>,
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

impl Format {
    /// What is printed of a description: itself, or its JSON.
    fn of(self, description: &impl Display, json: &str) -> String {
        match self {
            Self::Text => description.to_string(),
            Self::Json => format!("{json}\n"),
        }
    }
}

/// What a command prints, and its exit code.
type Output = Result<(String, u8), String>;

fn main() -> ExitCode {
    let output = match Arguments::parse().command {
        Command::Inspect(arguments) => inspect(&arguments),
        Command::Check(arguments) => check_files(&arguments),
        Command::Explain(arguments) => explain(&arguments),
        Command::Reason(arguments) => reason(&arguments),
        Command::Schema(arguments) => Ok(match arguments.of {
            Of::Configuration => (schema(), 0),
            Of::File => (file_schema(), 0),
        }),
    };
    let printed = output.and_then(|(text, code)| match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads the output has read enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        result => result.map(|()| code).map_err(|error| format!("standard output: {error}")),
    });
    match printed {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            say(&message);
            ExitCode::from(2)
        }
    }
}

fn inspect(arguments: &Inspect) -> Output {
    if let Some(text) = &arguments.dn {
        let PrintedName { rfc4514, doubt } = PrintedName::of(text)?;
        doubt.iter().for_each(|doubt| say(doubt));
        return Ok((format!("{rfc4514}\n"), 0));
    }
    let file = arguments.file.as_deref().unwrap_or(Path::new("-"));
    let name = shown(file);
    let bytes = content(file)?;
    if let Some(keys) = KeySetInspection::of_file(&bytes) {
        let keys = keys.map_err(|error| format!("{name} is {error}"))?;
        if !arguments.dialects.is_empty() {
            return Err(format!("{name} is a JSON Web Key Set, and a dialect hands a certificate over"));
        }
        return Ok((arguments.format.of(&keys, &keys.json()), 0));
    }
    if let Some(token) = TokenInspection::of_file(&bytes) {
        if !arguments.dialects.is_empty() {
            return Err(format!("{name} is a signed token, and a dialect hands a certificate over"));
        }
        return Ok((arguments.format.of(&token, &token.json()), 0));
    }
    let inspection = Inspection::of_file(&bytes, &arguments.dialects).map_err(|error| format!("{name} is {error}"))?;
    if inspection.certificates() > 1 {
        say(&format!("{name} has {} certificates; this is the first", inspection.certificates()));
    }
    let text = arguments.format.of(&inspection, &inspection.json());
    Ok((text, 0))
}

fn reason(arguments: &ReasonOf) -> Output {
    let entries = match &arguments.name {
        Some(name) => vec![ReasonEntry::of(name)?],
        None => ReasonEntry::all(),
    };
    let text = |entry: &ReasonEntry| arguments.format.of(&entry, &entry.json());
    Ok((entries.iter().map(text).collect(), 0))
}

fn check_files(arguments: &Check) -> Output {
    let read = |path: &PathBuf| Ok((shown(path), text(path)?));
    let files: Vec<_> = arguments.files.iter().map(read).collect::<Result<_, String>>()?;
    let report = check(&files);
    let text = match arguments.format {
        ReportFormat::Text => report.to_string(),
        ReportFormat::Json => format!("{}\n", report.json()),
        ReportFormat::Sarif => format!("{}\n", report.sarif()),
    };
    Ok((text, report.exit_code(arguments.strict)))
}

fn explain(arguments: &Explain) -> Output {
    let by_clock = || SystemTime::now().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_epoch);
    let now =
        arguments.now.map(UnixTime::from_seconds).or_else(by_clock).ok_or("the clock cannot be read: say --now")?;
    let (config, request) = (text(&arguments.config)?, text(&arguments.request)?);
    let config = (&*shown(&arguments.config), &*config);
    let mut question = Question::new(config, (&shown(&arguments.request), &request), now)?;
    if let Some(policy) = &arguments.policy {
        question = question.under(policy)?;
    }
    if let Some(path) = &arguments.certificate {
        let file = CertificateFile::read(&content(path)?).map_err(|error| format!("{} is {error}", shown(path)))?;
        question = question.presenting(file.der, arguments.validated);
    }
    if let Some(name) = &arguments.server_name {
        question = question.for_server(name.clone());
    }
    for keys in &arguments.keys {
        // An issuer may have the sign in it too; a file's name seldom has.
        let (issuer, path) = keys.rsplit_once('=').map_or((None, keys.as_str()), |(issuer, path)| (Some(issuer), path));
        let document = content(Path::new(path))?;
        question = question.with_keys(issuer, &document).map_err(|error| format!("{path}: {error}"))?;
    }
    if let Some(path) = &arguments.introspection {
        question = question.with_introspection(content(path)?)?;
    }
    if let Some(path) = &arguments.response {
        question = question.with_response((&shown(path), &text(path)?))?;
    }
    for payload in &arguments.verified_payloads {
        let (name, path) = payload.rsplit_once('=').ok_or("--verified-payload is NAME=FILE")?;
        let document = content(Path::new(path))?;
        question = question.with_verified_payload(name, &document).map_err(|error| format!("{path}: {error}"))?;
    }
    let explanation = question.explain()?;
    let text = arguments.format.of(&explanation, &explanation.json());
    Ok((text, 0))
}

/// A file that is text.
fn text(path: &Path) -> Result<String, String> {
    let bytes = content(path)?;
    if bytes.len() > LARGEST_TEXT {
        return Err(format!("{}: this is larger than {LARGEST_TEXT} bytes", shown(path)));
    }
    String::from_utf8(bytes).map_err(|_| format!("{}: this is no text in UTF-8", shown(path)))
}

/// The bytes of a file, or of the standard input for `-`; of a large one just enough to see that it is.
fn content(path: &Path) -> Result<Vec<u8>, String> {
    read(path).map_err(|error| format!("{}: {error}", shown(path)))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let input: &mut dyn Read = if is_standard_input(path) { &mut io::stdin() } else { &mut File::open(path)? };
    let mut bytes = Vec::new();
    let most = u64::try_from(LARGEST_TEXT).unwrap_or(u64::MAX).saturating_add(1);
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
