// SPDX-License-Identifier: Apache-2.0

//! `certbound check` takes memory in proportion to what it is given, however many documents, filters, policies and names
//! that has. Every byte is counted that is allocated and not yet given back.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test that cannot go on must stop")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use certbound::desk::check::check;
use serde_json::{Value, json};

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[expect(unsafe_code, reason = "there is no other way to count, and all of it is the system's own allocator")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is allocated is that of all threads: one test runs after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// The most bytes that are there at one time while a file is checked and told about, without the file itself.
fn most(file: &str) -> usize {
    let files = [("envoy.yaml".to_owned(), file.to_owned())];
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let told = check(&files).to_string();
    assert!(told.ends_with(" warnings\n") || told.ends_with(" warning\n"), "{told}");
    MOST.load(Ordering::Relaxed) - before
}

fn documents(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| format!("---\n{}\n", text(number))).collect()
}

/// A file of Envoy's.
fn envoy(listeners: Vec<Value>, clusters: Vec<Value>) -> String {
    json!({ "static_resources": { "listeners": listeners, "clusters": clusters } }).to_string()
}

/// A listener with these HTTP filters.
fn listener(filters: &[Value]) -> Value {
    let manager = json!({ "@type": "x/HttpConnectionManager", "http_filters": filters });
    json!({ "@type": "x", "filter_chains": [{ "filters": [{ "typed_config": manager }] }] })
}

/// The filter with this plugin configuration.
fn wasm(configuration: &Value) -> Value {
    let config = json!({ "name": "certbound", "configuration": { "value": configuration } });
    json!({ "@type": "x", "name": "certbound", "typed_config": { "@type": "x/Wasm", "config": config } })
}

/// With an issuer for each cluster, through which its keys are fetched.
fn resource_server(clusters: &[String]) -> Value {
    let issuer = |(number, cluster): (usize, &String)| {
        let keys = json!({ "jwks_uri": "https://as/jwks", "cluster": cluster });
        json!({ "issuer": format!("https://{number}"), "audiences": ["a"], "keys": keys })
    };
    json!({ "resource_server": { "issuers": clusters.iter().enumerate().map(issuer).collect::<Vec<_>>() } })
}

/// An API whose tokens were verified before, by another filter, under each of these many policies.
fn verified_before(policies: usize) -> Value {
    let policy = |number: usize| {
        let keys = json!({ "verified_by": "jwt_authn", "payload_in_metadata": "x" });
        let issuer = json!({ "issuer": format!("https://{number}"), "audiences": ["a"], "keys": keys });
        (format!("p{number}"), json!({ "resource_server": { "issuers": [issuer] } }))
    };
    json!({ "policies": (0..policies).map(policy).collect::<serde_json::Map<_, _>>(), "default_policy": "p0" })
}

fn policies(count: usize) -> Value {
    let named = (0..count).map(|number| (format!("p{number}"), json!({ "clean_only": {} })));
    json!({ "policies": named.collect::<serde_json::Map<_, _>>(), "default_policy": "p0" })
}

/// Metadata that names another policy.
fn metadata(number: usize) -> String {
    format!("node: {{}}\nx: {{ filter_metadata: {{ certbound: {{ policy: another-one-{number} }} }} }}")
}

fn istio(number: usize) -> String {
    let server = "{ authorization_server: { forward_certificate: [ { dialect: gluu } ] } }";
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec: {{ failStrategy: FAIL_RELOAD, url: certbound, \
         pluginConfig: {{ policies: {{ p{number}: {server} }} }} }}\n---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: \
         ClientTrafficPolicy\nspec: {{}}"
    )
}

/// A listener that asks for a filter of the name that every configuration here has.
fn asking() -> String {
    listener(&[json!({ "name": "certbound", "config_discovery": {} })]).to_string()
}

fn numbered(count: usize, name: &str) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number}")).collect()
}

type File = fn(usize) -> String;

/// Files that grow with a number, each in its own way, and a number to begin with.
const SHAPES: &[(&str, usize, File)] = &[
    ("documents that are no configuration", 200, |count| documents(count, |_| "a".to_owned())),
    ("documents beyond ASCII", 200, |count| documents(count, |_| "\u{e9}".to_owned())),
    ("configurations", 200, |count| documents(count, |_| "clean_only: {}".to_owned())),
    ("configurations in a text", 100, |count| documents(count, |_| wasm(&json!(r#"{"clean_only": {}}"#)).to_string())),
    ("names of policies, and metadata with others", 150, |count| {
        documents(1, |_| policies(count).to_string()) + &documents(count, metadata)
    }),
    ("policies of many configurations, and metadata with others", 100, |count| {
        documents(count, |_| policies(1).to_string()) + &documents(count, metadata)
    }),
    ("resources of Istio, and of Envoy Gateway", 60, |count| documents(count, istio)),
    ("filters of one listener, and its routes", 40, |count| {
        let route = json!({ "match": { "headers": [{ "name": "x-clientcert" }] } });
        let filter = wasm(&json!({ "clean_only": {} }));
        let filters: Vec<_> = (0..count).map(|_| json!({ "routes": vec![route.clone()], "of": filter })).collect();
        envoy(vec![listener(&filters)], Vec::new())
    }),
    ("configurations and listeners that meet by ECDS", 30, |count| {
        documents(count, |_| wasm(&policies(1)).to_string()) + &documents(count, |_| asking())
    }),
    ("a large configuration and listeners that meet by ECDS", 60, |count| {
        documents(1, |_| wasm(&policies(count)).to_string()) + &documents(count, |_| asking())
    }),
    ("clusters, and issuers with others", 100, |count| {
        let clusters = numbered(count, "c").into_iter().map(|name| json!({ "name": name })).collect();
        envoy(vec![listener(&[wasm(&resource_server(&numbered(count, "another-one-")))])], clusters)
    }),
    ("issuers and long names of clusters", 50, |count| {
        let clusters = vec![json!({ "name": "b".repeat(40 * count) })];
        envoy(vec![listener(&[wasm(&resource_server(&numbered(count, "another-one-")))])], clusters)
    }),
];

#[test]
fn memory_grows_with_the_file_and_no_faster() {
    const TIMES: usize = 4;
    let _alone = ALONE.lock();
    // What is made once, in this process, is no part of it.
    most("clean_only: {}\n");
    let mut wrong = Vec::new();
    for (shape, count, file) in SHAPES {
        let (one, several) = (file(*count), file(TIMES * count));
        let (taken_by_one, taken_by_several) = (most(&one), most(&several));
        // By as much as the file, and half of that more; by the square it would be TIMES as much again.
        let larger = several.len().div_ceil(one.len());
        if 2 * taken_by_several > 3 * larger * taken_by_one {
            wrong.push(format!(
                "{shape}: {} bytes take {taken_by_one}, {} take {taken_by_several}",
                one.len(),
                several.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each finding of each pair would be another.
#[test]
fn what_multiplies_is_cut_off() {
    let _alone = ALONE.lock();
    let file = documents(1, |_| wasm(&verified_before(150)).to_string()) + &documents(100, |_| asking());
    let report = check(&[("envoy.yaml".to_owned(), file)]);
    assert_eq!((report.findings().len(), report.exit_code(true)), (10_000, 1));
    assert!(report.to_string().contains("\nand more: only the first 10000 are shown\n"), "{report}");
}

/// What an anchor stands at is kept, and kept again by an anchor around that.
#[test]
fn anchors_in_one_another_are_too_many_values() {
    let _alone = ALONE.lock();
    let (begin, end) = ((0..100).map(|number| format!("&x{number} [")).collect::<String>(), "]".repeat(100));
    let told = check(&[("envoy.yaml".to_owned(), format!("a: {begin}{}1{end}", "1, ".repeat(20_000)))]).to_string();
    assert!(told.contains("this file has too many values"), "{told}");
}

/// A text that aliases repeat is copied for each of them, and so is a key.
#[test]
fn aliases_of_a_long_text_are_too_much_of_it() {
    let _alone = ALONE.lock();
    let long = "x".repeat(1 << 20);
    for anchored in [format!("&x {long}"), format!("&x {{ {long}: 1 }}"), format!("&x [[{long}]]")] {
        let file = format!("a: {anchored}\nb: [\n{}]\n", "  *x,\n".repeat(500));
        let taken = most(&file);
        assert!(taken < 160 << 20, "{taken}");
        let told = check(&[("envoy.yaml".to_owned(), file)]).to_string();
        assert!(told.starts_with("envoy.yaml:66:3: error: ") && told.contains("repeat too much text"), "{told}");
    }
    let nested =
        format!("a: {}{long}{}\n", (0..100).map(|number| format!("&x{number} [")).collect::<String>(), "]".repeat(100));
    assert!(most(&nested) < 160 << 20);
}
