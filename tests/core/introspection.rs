// SPDX-License-Identifier: Apache-2.0

//! Token introspection in the core: what is asked, with which credentials, and how long a response counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certbound::Refused;
use certbound::config::secret::Environment;
use certbound::handover::header_cache::HeaderCache;
use certbound::http::call::{Call, Outcome, Response};
use certbound::jose::signature::PortableEngine;
use certbound::keys::KeyRing;
use certbound::resource_server::introspection::Introspected;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Request, Step};
use serde_json::{Value, json};

/// What the Gluu Server's documentation shows, which is the example of RFC 8705 §3.2, letter for letter.
const EXAMPLE: &str = r#"
     {
       "active": true,
       "iss": "https://server.example.com",
       "sub": "ty.webb@example.com",
       "exp": 1493726400,
       "nbf": 1493722800,
       "cnf":{
         "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
       }
     }
"#;
const NOW: u64 = 1_493_724_000;
const DIGEST: &str = "6f070ad1eb1cdc0082dc3076639fe5112b1713ca3d96d734e4ef3d8dd37e760d";

/// One worker with one issuer, whose `introspection` has these keys besides the usual ones.
struct Api {
    policies: Policies,
    tokens: TokenCache,
    now: u64,
}

/// What each environment variable has.
const SECRET: &str = "s%=b &+";

/// What became of a request.
#[derive(Debug)]
enum Came {
    Forwarded,
    /// With the reason and the detail.
    Refused(&'static str, Option<String>),
    Asked(Box<certbound::resource_server::introspection::AskIntrospection>),
}

impl Api {
    fn new(more: Value) -> Self {
        Self::with(more, json!({}))
    }

    fn with(more: Value, beside: Value) -> Self {
        Self::of(more, beside, SECRET)
    }

    /// Each variable has this secret.
    fn of(more: Value, beside: Value, secret: &str) -> Self {
        let mut introspection = json!({
            "endpoint": "https://server.example.com/introspect?tenant=1", "cluster": "as", "tokens": "all",
            "endpoint_auth_method": "none", "audience": "if_present",
        });
        introspection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut configuration = json!({"resource_server": {"issuers": [{
            "issuer": "https://server.example.com", "audiences": ["https://api.example.com"],
            "introspection": introspection,
        }]}});
        configuration.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        let environment = Environment::Variables(&|_| Some(secret.to_owned()));
        let policies = Policies::load_with(configuration.to_string().as_bytes(), environment).unwrap();
        let tokens = TokenCache::new(policies.token_cache_size());
        Self { policies, tokens, now: NOW }
    }

    fn ask(&mut self, token: &str, introspected: Option<&Introspected>) -> Came {
        match self.step(token, introspected) {
            Step::Forward { .. } => Came::Forwarded,
            Step::Refuse(refusal) => Came::Refused(refusal.reason().name(), refusal.detail().map(str::to_owned)),
            Step::AskIntrospection(question) => Came::Asked(Box::new(question)),
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, token: &str, introspected: &Introspected) -> Refused {
        match self.step(token, Some(introspected)) {
            Step::Refuse(refused) => refused,
            other => panic!("{other:?}"),
        }
    }

    fn step(&mut self, token: &str, introspected: Option<&Introspected>) -> Step {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_bytes())];
        let request = Request {
            headers: &headers,
            route_metadata: None,
            peer_digest: Some(DIGEST.as_bytes()),
            now: UnixTime::from_seconds(self.now),
        };
        let keys = KeyRing::default();
        let header_cache = &mut HeaderCache::default();
        let context =
            &mut Context { introspected, ..Context::new(&PortableEngine, &keys, &mut self.tokens, header_cache) };
        self.policies.start(&request, context)
    }

    /// What the issuer is asked; the request is answered with this.
    fn answered(&mut self, token: &str, response: &Response<'_>) -> Came {
        let Came::Asked(question) = self.ask(token, None) else { panic!("the issuer is not asked") };
        let introspected = question.inquiry().clone().receive(response);
        self.ask(token, Some(&introspected))
    }

    fn call(&mut self, token: &str) -> Call {
        let Came::Asked(question) = self.ask(token, None) else { panic!("the issuer is not asked") };
        let call = question.inquiry().call(UnixTime::from_seconds(self.now), &|| Some([0; 16])).unwrap();
        assert!(!format!("{call:?} {question:?}").contains(SECRET), "a credential is shown");
        assert!(!format!("{call:?} {question:?}").contains(token), "a token is shown");
        call
    }
}

fn ok(body: &str) -> Response<'_> {
    Response { status: Some(200), body: body.as_bytes(), ..Response::default() }
}

fn is_refused(came: &Came, reason: &str) {
    assert!(matches!(came, Came::Refused(own, _) if *own == reason), "{came:?}, expected {reason}");
}

/// The example in the one canonical spelling of its thumbprint, and with what a response without `aud` needs.
fn good() -> String {
    EXAMPLE.replace("dg2", "dg0").replace("\"active\": true", "\"active\": true, \"token_type\": \"Bearer\"")
}

#[test]
fn the_example_of_the_seed_is_understood_but_for_its_thumbprint_and_for_what_it_does_not_say() {
    // Its last character sets two bits that 32 bytes do not have: RFC 8705's own slip, and no encoder's spelling.
    is_refused(&Api::new(json!({})).answered("opaque", &ok(&good().replace("dg0", "dg2"))), "confirmation_malformed");
    // It says neither what it is nor for whom.
    is_refused(&Api::new(json!({})).answered("opaque", &ok(&EXAMPLE.replace("dg2", "dg0"))), "claim_missing");
    let canonical = good();
    assert!(matches!(Api::new(json!({})).answered("opaque", &ok(&canonical)), Came::Forwarded));
    is_refused(&Api::new(json!({ "audience": "required" })).answered("opaque", &ok(&canonical)), "claim_missing");
    let mut later = Api::new(json!({}));
    later.now = 1_493_726_400 + 11;
    is_refused(&later.answered("opaque", &ok(&canonical)), "token_expired");
    let mut earlier = Api::new(json!({}));
    earlier.now = 1_493_722_800 - 11;
    is_refused(&earlier.answered("opaque", &ok(&canonical)), "token_not_yet_valid");
    is_refused(
        &Api::new(json!({})).answered("opaque", &ok(&canonical.replace("\"bwcK", "\"cwcK"))),
        "certificate_mismatch",
    );
}

#[test]
fn the_question_is_that_of_rfc_7662() {
    let call = Api::new(json!({})).call("a+b/c=");
    assert_eq!(
        (call.method, &*call.cluster, &*call.authority, &*call.path),
        ("POST", "as", "server.example.com", "/introspect?tenant=1")
    );
    assert_eq!(
        call.headers,
        [("content-type", "application/x-www-form-urlencoded".to_owned()), ("accept", "application/json".to_owned())]
    );
    assert_eq!(call.body, b"token=a%2Bb%2Fc%3D&token_type_hint=access_token");
}

#[test]
fn each_way_to_authenticate_sends_its_credential_and_no_other() {
    let authorization =
        |call: &Call| call.headers.iter().find(|(name, _)| *name == "authorization").map(|(_, value)| value.clone());
    let secret = json!({"client_id": "a b:c", "client_secret": {"environment": "SECRET"}});
    let with = |method: &str, more: &Value| {
        let mut keys = json!({ "endpoint_auth_method": method });
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Api::new(keys).call("opaque")
    };
    let question = "token=opaque&token_type_hint=access_token";

    let basic = with("client_secret_basic", &secret);
    let encoded = STANDARD.encode("a+b%3Ac:s%25%3Db+%26%2B");
    assert_eq!(authorization(&basic).unwrap(), format!("Basic {encoded}"));
    assert_eq!(String::from_utf8(basic.body).unwrap(), question);

    let post = with("client_secret_post", &secret);
    assert_eq!(authorization(&post), None);
    let expected = format!("{question}&client_id=a+b%3Ac&client_secret=s%25%3Db+%26%2B");
    assert_eq!(String::from_utf8(post.body).unwrap(), expected);

    let none = with("none", &json!({"client_id": "a b:c"}));
    assert_eq!((authorization(&none), none.body), (None, format!("{question}&client_id=a+b%3Ac").into_bytes()));

    let mut bearer = Api::new(json!({"endpoint_auth_method": "bearer", "bearer_token": {"environment": "TOKEN"}}));
    let bearer = bearer.call("opaque");
    assert_eq!((authorization(&bearer), bearer.body), (Some(format!("Bearer {SECRET}")), question.as_bytes().to_vec()));
}

/// RFC 7515, appendix A.3.1.
const KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI","kid":"its own"}"#;

fn with_key(more: Value) -> Value {
    let mut keys =
        json!({"endpoint_auth_method": "private_key_jwt", "client_id": "a", "client_key": {"environment": "KEY"}});
    keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    keys
}

/// What stands in the assertion of a call: header and claims.
fn assertion(call: &Call) -> (Value, Value) {
    let body = std::str::from_utf8(&call.body).unwrap();
    let (before, assertion) = body.split_once("&client_assertion=").unwrap();
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    assert_eq!(before, format!("token=opaque&token_type_hint=access_token&client_assertion_type={kind}"));
    assert!(call.headers.iter().all(|(name, _)| *name != "authorization"));
    let part = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let mut parts = assertion.split('.');
    (part(parts.next().unwrap()), part(parts.next().unwrap()))
}

#[test]
fn an_assertion_is_made_for_each_call_with_what_no_other_has() {
    let mut api = Api::of(with_key(json!({})), json!({}), KEY);
    let Came::Asked(question) = api.ask("opaque", None) else { panic!() };
    let call = |nonce: Option<[u8; 16]>, now| question.inquiry().call(UnixTime::from_seconds(now), &|| nonce);
    let (header, claims) = assertion(&call(Some([0; 16]), NOW).unwrap());
    assert_eq!(header, json!({"alg": "ES256", "typ": "JWT", "kid": "its own"}));
    let expected = json!({
        "iss": "a", "sub": "a", "aud": "https://server.example.com", "jti": "AAAAAAAAAAAAAAAAAAAAAA",
        "iat": NOW, "exp": NOW + 60,
    });
    assert_eq!(claims, expected);
    let (_, later) = assertion(&call(Some([1; 16]), NOW + 7).unwrap());
    assert_eq!((&later["jti"], &later["iat"]), (&json!("AQEBAQEBAQEBAQEBAQEBAQ"), &json!(NOW + 7)));
    assert_eq!(call(None, NOW), Err("the proxy has no source of chance"));
    let mut named = Api::of(with_key(json!({"client_key_id": "b"})), json!({}), KEY);
    assert_eq!(assertion(&named.call("opaque")).0["kid"], "b");
}

#[test]
fn claims_are_kept_for_a_while_and_judged_each_time() {
    let mut api = Api::new(json!({"cache_seconds": 60}));
    let response = json!({"active": true, "token_type": "Bearer", "exp": NOW + 30, "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0"}});
    assert!(matches!(api.answered("opaque", &ok(&response.to_string())), Came::Forwarded));
    api.now = NOW + 30 + 9;
    assert!(matches!(api.ask("opaque", None), Came::Forwarded));
    api.now = NOW + 30 + 10;
    is_refused(&api.ask("opaque", None), "token_expired");
    assert!(matches!(api.ask("another", None), Came::Asked(_)));
    api.now = NOW + 59;
    is_refused(&api.ask("opaque", None), "token_expired");
    api.now = NOW + 60;
    assert!(matches!(api.ask("opaque", None), Came::Asked(_)));
}

#[test]
fn that_a_token_is_not_active_is_kept_for_five_seconds() {
    let mut api = Api::new(json!({"cache_seconds": 60}));
    is_refused(&api.answered("opaque", &ok(r#"{"active": false}"#)), "token_inactive");
    api.now = NOW + 4;
    is_refused(&api.ask("opaque", None), "token_inactive");
    api.now = NOW + 5;
    assert!(matches!(api.ask("opaque", None), Came::Asked(_)));
}

#[test]
fn nothing_is_kept_where_that_is_said_and_the_request_that_asked_is_judged_all_the_same() {
    let response = good();
    for mut api in [
        Api::new(json!({"cache_seconds": 0})),
        Api::with(json!({"cache_seconds": 60}), json!({"token_cache_bytes": 0})),
    ] {
        assert!(matches!(api.answered("opaque", &ok(&response)), Came::Forwarded));
        assert!(matches!(api.ask("opaque", None), Came::Asked(_)));
        is_refused(&api.answered("opaque", &ok(r#"{"active": false}"#)), "token_inactive");
        assert!(matches!(api.ask("opaque", None), Came::Asked(_)));
    }
}

#[test]
fn without_a_good_response_nothing_passes_and_nothing_is_kept() {
    let good = good();
    let mut api = Api::new(json!({}));
    for status in [None, Some(500), Some(503), Some(401), Some(302), Some(204), Some(400), Some(504)] {
        let response = Response { status, ..ok(&good) };
        is_refused(&api.answered("opaque", &response), "introspection_unavailable");
    }
    is_refused(&api.answered("opaque", &ok("")), "introspection_unavailable");
    assert!(matches!(api.ask("opaque", None), Came::Asked(_)));
    let Came::Asked(question) = api.ask("opaque", None) else { panic!("it was kept") };
    let failed = question.inquiry().clone().fail("the proxy has no such cluster".to_owned());
    assert_eq!(failed.outcome(), Outcome::Failed);
    is_refused(&api.ask("opaque", Some(&failed)), "introspection_unavailable");
}

#[test]
fn a_503_in_place_of_the_issuers_answer_has_the_line_end_of_a_secret_in_its_detail() {
    for (status, is_named) in [(503, true), (502, false)] {
        let came = Api::new(json!({})).answered("opaque", &Response { status: Some(status), ..ok(&good()) });
        let Came::Refused(_, Some(detail)) = came else { panic!("{status}: {came:?}") };
        assert_eq!(detail.contains("a line end behind credential_injector's secret"), is_named, "{detail}");
        assert!(detail.contains(&status.to_string()), "{detail}");
    }
}

#[test]
fn of_a_signed_response_that_no_key_verifies_the_detail_says_what_was_seen() {
    // The key of RFC 7515 appendix A.3.
    let key = json!({
        "kty": "EC", "crv": "P-256", "kid": "own", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let server = json!({"resource_server": {"issuers": [{
        "issuer": "https://server.example.com", "audiences": ["https://api.example.com"], "keys": {"jwks": {"keys": [key]}},
        "introspection": {
            "endpoint": "https://server.example.com/introspect", "cluster": "as", "endpoint_auth_method": "none",
            "client_id": "api", "answer": "jwt",
        },
    }]}});
    for (kid, told) in [
        (
            "other",
            "the response: key_unknown, ES256, a kid that no key of the set has: introspection https://server.example.com/introspect through as",
        ),
        (
            "own",
            "the response: signature_invalid, ES256, kid own: introspection https://server.example.com/introspect through as",
        ),
    ] {
        let header = json!({"alg": "ES256", "kid": kid, "typ": "token-introspection+jwt"}).to_string();
        let response = format!("{}.e30.{}", URL_SAFE_NO_PAD.encode(header), "A".repeat(86));
        let came = Api::with(json!({}), server.clone()).answered("opaque", &ok(&response));
        let Came::Refused(reason, Some(detail)) = came else { panic!("{came:?}") };
        assert_eq!((reason, &*detail), ("introspection_unavailable", told));
    }
}

#[test]
fn whom_an_active_token_names_is_in_every_refusal_that_comes_after_the_response() {
    for (members, reason) in [
        (json!({"aud": null}), "claim_missing"),
        (json!({"exp": "soon"}), "claim_malformed"),
        (json!({"iss": "https://other"}), "issuer_not_trusted"),
        (json!({"token_type": "Refresh"}), "token_type_unsupported"),
        (json!({"aud": "other"}), "audience_mismatch"),
    ] {
        let mut api = Api::new(json!({"audience": "required"}));
        let Came::Asked(question) = api.ask("opaque", None) else { panic!("the issuer is not asked") };
        let mut response: Value = serde_json::from_str(EXAMPLE).unwrap();
        response["iss"] = "https://server.example.com".into();
        (response["client_id"], response["aud"]) = ("app".into(), "https://api.example.com".into());
        response.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let introspected = question.inquiry().clone().receive(&ok(&response.to_string()));
        let refused = api.refused("opaque", &introspected);
        let who = refused.identity().map(|own| (own.client(), own.subject(), own.issuer()));
        let issuer = response["iss"].as_str();
        assert_eq!(refused.reason().name(), reason);
        assert_eq!(who, Some((response["client_id"].as_str(), response["sub"].as_str(), issuer)), "{members}");
        assert!(issuer.is_some() && response["sub"].is_string() && response["client_id"].is_string());
    }
}

#[test]
fn a_response_is_for_its_token_alone() {
    let mut api = Api::new(json!({"cache_seconds": 0}));
    let Came::Asked(question) = api.ask("opaque", None) else { panic!("the issuer is not asked") };
    let introspected = question.inquiry().clone().receive(&ok(&good()));
    assert!(matches!(api.ask("opaque", Some(&introspected)), Came::Forwarded));
    assert!(matches!(api.ask("another", Some(&introspected)), Came::Asked(_)));
}

#[test]
fn the_detail_says_what_was_seen_and_what_is_expected() {
    let hexadecimal = DIGEST;
    for (members, reason, detail) in [
        (json!({"aud": "other"}), "audience_mismatch", "it is for other, expected https://api.example.com"),
        (json!({"aud": ["a", "b"]}), "audience_mismatch", "it is for a, b, expected https://api.example.com"),
        (json!({"exp": NOW - 60}), "token_expired", "exp was 60 seconds ago, and the leeway is 10"),
        (json!({"nbf": NOW + 86_400}), "token_not_yet_valid", "nbf is in 86400 seconds, and the leeway is 10"),
        (json!({"iat": NOW + 11}), "token_not_yet_valid", "iat is in 11 seconds, and the leeway is 10"),
        (json!({"cnf": "x"}), "confirmation_malformed", "cnf is a text, and not an object"),
        (
            json!({"cnf": {"x5t#S256": hexadecimal}}),
            "confirmation_malformed",
            "the thumbprint is hexadecimal, and not base64url",
        ),
        (json!({"scope": "profile"}), "scope_insufficient", "it lacks accounts and has profile"),
        (json!({"scope": ["a", "b"]}), "scope_insufficient", "it lacks accounts and has a b"),
        (json!({}), "scope_insufficient", "it lacks accounts and has no scope"),
        (
            json!({"iss": "https://other"}),
            "issuer_not_trusted",
            "it is from https://other, expected https://server.example.com",
        ),
        (json!({"exp": "soon"}), "claim_malformed", "exp is a text"),
        (json!({"iat": -1}), "claim_malformed", "iat is a number of seconds that is out of bounds"),
        (json!({"sub": 1}), "claim_malformed", "sub is a number"),
        (json!({"aud": {}}), "claim_malformed", "aud is an object"),
        (json!({"aud": ["a", 1]}), "claim_malformed", "aud is a list with an item that is no text"),
        (json!({"scope": true}), "claim_malformed", "scope is true or false"),
        (json!({"scp": [null]}), "claim_malformed", "scp is a list with an item that is no text"),
        (json!({"token_type": "Refresh"}), "token_type_unsupported", "token_type is Refresh"),
    ] {
        let mut api = Api::new(json!({}));
        api.policies = Policies::load_with(
            json!({"resource_server": {"required_scopes": ["accounts"], "issuers": [{
                "issuer": "https://server.example.com", "audiences": ["https://api.example.com"],
                "introspection": {
                    "endpoint": "https://server.example.com/introspect", "cluster": "as",
                    "endpoint_auth_method": "none", "audience": "if_present", "tokens": "all",
                },
            }]}})
            .to_string()
            .as_bytes(),
            Environment::Variables(&|_| None),
        )
        .unwrap();
        let mut response: Value = serde_json::from_str(EXAMPLE).unwrap();
        response["token_type"] = "Bearer".into();
        response["cnf"]["x5t#S256"] = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0".into();
        response.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let body = response.to_string();
        let came =
            api.answered("opaque", &Response { status: Some(200), body: body.as_bytes(), ..Response::default() });
        let Came::Refused(found, Some(text)) = came else { panic!("{members}: {came:?}") };
        assert_eq!((found, &*text), (reason, detail), "{members}");
    }
}

/// RFC 9470 §6.2: a response has `acr` and `auth_time` as a token has them.
#[test]
fn how_the_user_was_authenticated_is_judged_with_each_request() {
    let server = json!({"resource_server": {
        "required_acr": ["gold", "silver"], "max_auth_age_seconds": 600,
        "issuers": [{"issuer": "https://server.example.com", "audiences": ["https://api.example.com"], "introspection": {
            "endpoint": "https://server.example.com/introspect", "cluster": "as", "tokens": "all",
            "endpoint_auth_method": "none", "audience": "if_present", "cache_seconds": 3600,
        }}],
    }});
    let answered = |more: &str| {
        let mut api = Api::with(json!({}), server.clone());
        let came = api.answered("opaque", &ok(&good().replace("\"active\": true", &format!("\"active\": true{more}"))));
        (api, came)
    };
    let insufficient = "user_authentication_insufficient";
    for more in ["", r#", "acr": "gold""#, r#", "acr": "bronze", "auth_time": 1493724000"#] {
        is_refused(&answered(more).1, insufficient);
    }
    is_refused(&answered(r#", "acr": "gold", "auth_time": "1493724000""#).1, "claim_malformed");
    // What is kept ages.
    let (mut api, came) = answered(r#", "acr": "silver", "auth_time": 1493724000"#);
    assert!(matches!(came, Came::Forwarded), "{came:?}");
    api.now = NOW + 610;
    assert!(matches!(api.ask("opaque", None), Came::Forwarded));
    api.now = NOW + 611;
    is_refused(&api.ask("opaque", None), insufficient);
}
