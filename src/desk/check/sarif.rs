// SPDX-License-Identifier: Apache-2.0

//! What was found as SARIF 2.1.0 (OASIS), which GitHub, GitLab and editors show beside the lines.

use serde_json::{Value, json};

use super::finding::{Finding, Severity, Warning};
use super::{MOST_FINDINGS, Report};
use crate::text::percent;

/// What keeps a configuration from loading has no name of its own.
const ERROR: &str = "configuration_error";

/// The report as one document.
pub(super) fn document(report: &Report) -> Value {
    let error = rule(ERROR, "It would not load, or would refuse requests that should pass.", Severity::Error);
    let warnings = Warning::ALL.iter().map(|warning| rule(warning.name(), warning.meaning(), Severity::Warning));
    let rules: Vec<_> = std::iter::once(error).chain(warnings).collect();
    let notifications = report.left_out.map(
        |_| json!([{ "level": "warning", "message": { "text": format!("only the first {MOST_FINDINGS} are shown") } }]),
    );
    let mut invocation = json!({ "executionSuccessful": true });
    if let (Some(notifications), Some(members)) = (notifications, invocation.as_object_mut()) {
        members.insert("toolExecutionNotifications".to_owned(), notifications);
    }
    let driver = json!({
        "name": "certbound",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    let results: Vec<_> = report.findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver },
            "columnKind": "unicodeCodePoints",
            "invocations": [invocation],
            "results": results,
        }],
    })
}

fn rule(name: &str, meaning: &str, severity: Severity) -> Value {
    json!({
        "id": name,
        "shortDescription": { "text": meaning },
        "defaultConfiguration": { "level": severity.name() },
    })
}

fn result(finding: &Finding) -> Value {
    let mut place = json!({ "artifactLocation": { "uri": uri(finding.file()) } });
    if let (Some((line, column)), Some(members)) = (finding.position(), place.as_object_mut()) {
        members.insert("region".to_owned(), json!({ "startLine": line, "startColumn": column }));
    }
    json!({
        "ruleId": finding.warning.map_or(ERROR, Warning::name),
        "level": finding.severity.name(),
        "message": { "text": finding.sentence() },
        "locations": [{ "physicalLocation": place }],
    })
}

/// A file's name as a reference to it (RFC 3986 §4.2). A path from the root has a scheme; any other stays what it is, below the
/// folder in which the command ran.
fn uri(file: &str) -> String {
    let mut uri = if file.starts_with('/') { "file://".to_owned() } else { String::new() };
    // A colon in the first segment would end a scheme.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    percent::encode(file, &mut uri, plain);
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_a_reference() {
        for (file, expected) in [
            ("envoy.yaml", "envoy.yaml"),
            ("a b/c:d.yaml", "a%20b/c%3Ad.yaml"),
            ("/etc/envoy/é.yaml", "file:///etc/envoy/%C3%A9.yaml"),
            ("../x#y?.json", "../x%23y%3F.json"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}
