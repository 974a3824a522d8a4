// SPDX-License-Identifier: Apache-2.0

//! A file on a desk: `check` says of any text what it is or what is wrong with it, in lines that a terminal can show, and
//! it agrees with the filter about what loads. What loads can be explained.

use certbound::Policies;
use certbound::desk::check::{Severity, check as report};
use certbound::desk::explain::Question;
use certbound::time::UnixTime;

const REQUEST: &str = r#"{"method": "POST", "path": "/token?a=b", "headers": [["Host", "api.example.com"],
    ["X-ClientCert", "forged"], ["Authorization", "Bearer e30.e30.e30"]]}"#;

pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let report = report(&[("x.yaml".to_owned(), text.to_owned())]);
    let wrong = report.findings().iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(report.exit_code(false), if wrong { 2 } else { 0 });
    let shown = report.to_string();
    assert!(shown.lines().all(|line| !line.is_empty() && !line.contains(char::is_control)), "{shown:?}");
    for finding in report.findings().iter().map(ToString::to_string) {
        let place = finding.strip_prefix("x.yaml:").unwrap();
        let line = place.split(':').next().unwrap().parse::<usize>();
        assert!(line.is_err() || (1..=text.lines().count() + 1).contains(&line.unwrap()), "{finding:?}");
    }
    // JSON text is what a proxy hands over.
    if text.trim_start().starts_with('{') && Policies::load(input).is_ok() {
        assert!(!wrong, "{shown}");
    }
    if let Ok(question) =
        Question::new(("x.yaml", text), ("request.json", REQUEST), UnixTime::from_seconds(1_800_000_000))
    {
        let (certificate, validated) = (vec![0x30, 0x03, 1, 2, 3], Some(true));
        let explanation = question.presenting(certificate, validated).explain().unwrap();
        let json: serde_json::Value = serde_json::from_str(&explanation.json()).unwrap();
        assert!(json["decision"] == "forward" || json["status"].is_number(), "{json}");
        assert!(explanation.to_string().lines().all(|line| !line.contains(char::is_control)));
    }
}
