// SPDX-License-Identifier: Apache-2.0

//! A registered name and a certificate: the first line, and the DER behind it. No bytes make the comparison fail, a
//! certificate has the name that it shows, and a name is found in its own kind alone. What is signed in it is part of it, byte for byte.

use certbound::authorization_server::client::subject::Subject;
use certbound::certificate::Certificate;
use certbound::certificate::names::Names;
use certbound::certificate::registered_name::{NameMatching, RegisteredName};
use certbound::certificate::signed::Signed;
use certbound::certificate::subject_alternative_name::SubjectAlternativeName;

pub fn check(input: &[u8]) {
    let (text, der) = input.iter().position(|byte| *byte == b'\n').map_or((input, &[][..]), |end| {
        let (text, der) = input.split_at(end);
        (text, &der[1..])
    });
    let text = String::from_utf8_lossy(text);
    let modes = [NameMatching::Rfc4517, NameMatching::Unordered, NameMatching::Exact];
    let names = Names::of(&Certificate::on_the_desk(der.to_vec()));
    if let Some(Signed { message, algorithm, signature }) = Signed::of_certificate(der) {
        // Three parts side by side, of which the last ends the certificate, and the first has the second in it.
        let before = der.strip_suffix(signature).unwrap();
        let both = [message, algorithm].concat();
        assert!(
            before.windows(both.len()).any(|part| part == both)
                && message.windows(algorithm.len()).any(|part| part == algorithm)
        );
    }
    for mode in modes {
        let registered = RegisteredName::parse(&text, mode);
        let Some(names) = &names else { continue };
        let is = |registered: &RegisteredName| registered.is(&names.subject);
        // What is exactly the same is the same.
        if mode == NameMatching::Exact && registered.as_ref().is_ok_and(is) {
            let rfc4517 = RegisteredName::parse(&text, NameMatching::Rfc4517).unwrap();
            assert!(rfc4517.is(&names.subject), "{text}");
        }
        let relative = names.subject.relative_distinguished_names();
        let is_shown_whole = relative.iter().all(|relative| !relative.is_empty());
        // Of a TeletexString nobody knows what it says.
        let is_plain = is_shown_whole && relative.iter().flatten().all(|own| own.value().first() != Some(&20));
        if let Ok(shown) = RegisteredName::parse(&names.subject.to_string(), mode)
            && is_plain
        {
            assert!(shown.is(&names.subject), "{}", names.subject);
        }
    }
    let Some(names) = &names else { return };
    let own = |is: &dyn Fn(&SubjectAlternativeName) -> bool| names.subject_alternative_names.iter().any(is);
    if Subject::dns(&text).is_ok_and(|subject| subject.is_in(names)) {
        assert!(own(&|name| matches!(name, SubjectAlternativeName::Dns(name) if name.eq_ignore_ascii_case(&text))));
    }
    if Subject::email(&text).is_ok_and(|subject| subject.is_in(names)) {
        assert!(own(&|name| matches!(name, SubjectAlternativeName::Email(name) if name.eq_ignore_ascii_case(&text))));
    }
    if Subject::uri(&text).is_ok_and(|subject| subject.is_in(names)) {
        assert!(own(&|name| matches!(name, SubjectAlternativeName::Uri(name) if name.eq_ignore_ascii_case(&text))));
    }
    if Subject::ip(&text).is_ok_and(|subject| subject.is_in(names)) {
        assert!(own(
            &|name| matches!(name, SubjectAlternativeName::Ip(name) if *name == text.parse::<std::net::IpAddr>().unwrap())
        ));
    }
}
