// SPDX-License-Identifier: Apache-2.0

//! A value of `X-Forwarded-Client-Cert` from another proxy, of which a client can write a part: what is read is one certificate
//! that stands in it, with its digest, and what known proxies append changes nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::certificate::Certificate;
use certbound::certificate::thumbprint::Thumbprint;
use certbound::handover::encoding::Encoding;
use certbound::handover::proxy_name::ProxyName;
use certbound::handover::xfcc::client;

/// A certificate with the URI `spiffe://a/hop`, in base64.
const HOP: &str = "MIIBrDCCAVKgAwIBAgIUOtom7H2CuvYM6LRRtHxfoIP1X+owCgYIKoZIzj0EAwIwFTETMBEGA1UEAwwKRXhhbXBsZSBDQTAeFw0y\
    NjExMzAxMzMzNTVaFw0yNjEyMDExNDMzNTVaMAAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARDxTKy8dqzAjVkS+U2ICVb0lOd\
    JglYtkJSM9Lp7aC9zY4Kqn8JzNBQjnyZ6Ncb/Eq9gf8Kf+BgC4i7v6xFpJBdo4GUMIGRMB0GA1UdDgQWBBS/0Rtodu8h5cynWlvN\
    8q3xRNRlETAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDAjAfBgNVHSMEGDAWgBQc0mgc\
    RJSXDnty+m3B3twKxCdlnDAcBgNVHREBAf8EEjAQhg5zcGlmZmU6Ly9hL2hvcDAKBggqhkjOPQQDAgNIADBFAiEA0gmhLHz1Rre2\
    hWJTVcXt73nBuzXtQo8ao+2XHBVajzUCIG7gxqpwmvFnw4MHonw69V38XhEEuE4iLKk5KvV7GYeV";

pub fn check(input: &[u8]) {
    let alone = client(input, None, &[]);
    if let Ok(Some(certificate)) = &alone {
        is_there(input, certificate);
    }
    if input.len() > 60_000 || input.starts_with(b"[") {
        return;
    }
    let (der, own) = (STANDARD.decode(HOP).unwrap(), Thumbprint::of_der(b"own"));
    let hop = || [ProxyName::new(None, Some("spiffe://a/hop".to_owned())).unwrap()];
    let about_hop = Encoding::Xfcc.encode(&der);
    let about_own = format!("By=x;Hash={};Subject=\"\"", own.hex());
    let with = |elements: &[&str]| {
        let behind = elements.iter().flat_map(|element| [b",", element.as_bytes()].concat()).collect();
        [input.to_vec(), behind].concat()
    };
    // What the proxies behind it wrote is taken away, and what is left means the same.
    let found = [
        client(&with(&[&about_own]), Some(&own), &[]),
        client(&with(&[&about_hop]), None, &hop()),
        client(&with(&[&about_hop, &about_own]), Some(&own), &hop()),
        client(
            &with(&[&about_hop, &about_hop, &about_own]),
            Some(&own),
            &[hop(), hop()].into_iter().flatten().collect::<Vec<_>>(),
        ),
    ];
    for found in found {
        assert_eq!(found.ok(), alone.clone().ok());
    }
    // Of a proxy that is not known nothing is taken away.
    assert!(client(&with(&[&about_hop]), None, &[]).is_err());
    assert!(client(&with(&[&about_own]), None, &[]).is_err());
}

/// Its digest, and what stands for its bytes.
fn is_there(input: &[u8], certificate: &Certificate) {
    let text = String::from_utf8_lossy(input).to_ascii_lowercase();
    assert!(text.contains(&certificate.thumbprint().hex()), "{text}");
    assert_eq!(*certificate.thumbprint(), Thumbprint::of_der(certificate.der()));
    assert!(text.matches("hash").count() >= 1 && text.matches("cert").count() >= 1);
}
