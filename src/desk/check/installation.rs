// SPDX-License-Identifier: Apache-2.0

//! The places of a file at which certbound is configured.

use std::collections::{BTreeMap, HashMap};

use crate::config::file::{Document, Place};

/// A plugin configuration and what stands around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Installation<'d> {
    pub(super) configuration: Place<'d>,
    pub(super) platform: Platform<'d>,
}

impl Installation<'_> {
    /// The key under which a platform's resource has the configuration, if it is not there.
    pub(super) fn missing_key(self) -> Option<&'static str> {
        match self.platform {
            Platform::Nobody | Platform::Envoy { .. } => None,
            Platform::Istio { wasm, .. } => self.configuration.is(wasm).then_some("pluginConfig"),
            Platform::EnvoyGateway { extension } => self.configuration.is(extension).then_some("config"),
        }
    }
}

/// Who hands the configuration to the filter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Platform<'d> {
    /// Nobody yet: the file is the plugin configuration itself.
    Nobody,
    /// Envoy: its `PluginConfig`, and the extension that holds it.
    Envoy { plugin: Place<'d>, holder: Place<'d> },
    /// Istio: the spec of a WasmPlugin or TrafficExtension, and the part of it that is about the module.
    Istio { spec: Place<'d>, wasm: Place<'d> },
    /// Envoy Gateway: one of the Wasm extensions of an EnvoyExtensionPolicy.
    EnvoyGateway { extension: Place<'d> },
}

/// An HTTP filter where a connection manager has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct HttpFilter<'d> {
    pub(super) manager: Manager<'d>,
    /// Its place in the order of the filters.
    pub(super) index: usize,
}

/// An HTTP connection manager of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manager<'d> {
    pub(super) listener: Place<'d>,
    pub(super) filter_chain: Place<'d>,
    /// The message itself.
    pub(super) manager: Place<'d>,
}

/// The HTTP connection managers of some files, and which extensions are among their filters.
#[derive(Debug)]
pub(super) struct Managers<'d> {
    all: Vec<Manager<'d>>,
    /// The places of the filters inside which an extension stands, by its identity: of its manager, and among the filters.
    inside: HashMap<usize, Vec<(usize, usize)>>,
    /// Those of the filters that come by ECDS under a name.
    discovered: HashMap<Option<&'d str>, Vec<(usize, usize)>>,
    /// What the secrets of the files say of whom to trust, by their names.
    validation_contexts: HashMap<&'d str, Place<'d>>,
}

impl<'d> Managers<'d> {
    pub(super) fn of(documents: &'d [Document]) -> Self {
        let all: Vec<_> = documents.iter().flat_map(|document| managers(document.root())).collect();
        let (mut inside, mut discovered) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (place, manager) in all.iter().enumerate() {
            for (index, filter) in manager.filters().enumerate() {
                if filter.at(&["config_discovery"]).is_some() {
                    discovered.entry(filter.text_at(&["name"])).or_default().push((place, index));
                }
                for holder in filter.everything().into_iter().filter(|holder| message(*holder, "Wasm").is_some()) {
                    inside.entry(holder.identity()).or_default().push((place, index));
                }
            }
        }
        let secrets = documents.iter().flat_map(|document| secrets(document.root()));
        let validation_contexts =
            secrets.filter_map(|own| Some((own.text_at(&["name"])?, own.at(&["validation_context"])?)));
        Self { all, inside, discovered, validation_contexts: validation_contexts.collect() }
    }

    /// The `CertificateValidationContext` of the secret with this name, which comes with the file or by SDS.
    pub(super) fn validation_context(&self, name: &str) -> Option<Place<'d>> {
        self.validation_contexts.get(name).copied()
    }

    /// Those of all secrets.
    pub(super) fn validation_contexts(&self) -> impl Iterator<Item = Place<'d>> {
        self.validation_contexts.values().copied()
    }

    /// The filters that an installation is: one in each manager that has it inside a filter, or gets it by its name through
    /// ECDS. There are none where the files have no HTTP filters around it.
    pub(super) fn filters(&self, installation: Installation<'d>) -> impl Iterator<Item = HttpFilter<'d>> {
        let places = match installation.platform {
            Platform::Envoy { holder, .. } => {
                let inside = self.inside.get(&holder.identity());
                [inside, self.discovered.get(&holder.text_at(&["name"]))]
            }
            Platform::Nobody | Platform::Istio { .. } | Platform::EnvoyGateway { .. } => [None, None],
        };
        let mut first = BTreeMap::new();
        for (manager, index) in places.into_iter().flatten().flatten() {
            first.entry(*manager).and_modify(|own: &mut usize| *own = (*own).min(*index)).or_insert(*index);
        }
        first.into_iter().filter_map(|(manager, index)| Some(HttpFilter { manager: *self.all.get(manager)?, index }))
    }
}

/// The keys that only our configuration has at its top.
const OUR_KEYS: &[&str] = &["policies", "default_policy", "resource_server", "authorization_server", "clean_only"];

/// Where Istio's and Envoy Gateway's resources are told by.
const KUBERNETES: &[&str] = &["apiVersion", "kind"];

/// Every installation in these documents. A document that is nothing else is a plugin configuration.
pub(super) fn installations(documents: &[Document]) -> Vec<Installation<'_>> {
    documents.iter().flat_map(|document| of_document(document.root())).collect()
}

/// Whether these documents are resources of Kubernetes, all of them, and there is one.
pub(super) fn are_resources<'d>(documents: impl Iterator<Item = Place<'d>>) -> bool {
    let mut documents = documents.peekable();
    documents.peek().is_some() && documents.all(is_resource)
}

fn is_resource(root: Place<'_>) -> bool {
    KUBERNETES.iter().all(|key| root.get(key).is_some())
}

fn of_document(root: Place<'_>) -> Vec<Installation<'_>> {
    if is_resource(root) {
        return of_resource(root).chain(of_envoy(root)).collect();
    }
    let envoys = ["static_resources", "dynamic_resources", "admin", "node", "resources", "@type"];
    let is_envoys = envoys.iter().any(|key| root.at(&[key]).is_some());
    if is_envoys {
        of_envoy(root).collect()
    } else {
        vec![Installation { configuration: root, platform: Platform::Nobody }]
    }
}

/// The secrets of a document: those of a bootstrap, and those of a file that SDS watches.
fn secrets(root: Place<'_>) -> impl Iterator<Item = Place<'_>> {
    root.list(&["static_resources", "secrets"]).chain(root.list(&["resources"]))
}

/// Every HTTP connection manager of a listener in a document.
fn managers(root: Place<'_>) -> Vec<Manager<'_>> {
    let mut found = Vec::new();
    for listener in root.everything() {
        let chains = listener.list(&["filter_chains"]).chain(listener.at(&["default_filter_chain"]));
        for filter_chain in chains {
            for filter in filter_chain.list(&["filters"]) {
                if let Some(manager) = message(filter, "HttpConnectionManager") {
                    found.push(Manager { listener, filter_chain, manager });
                }
            }
        }
    }
    found
}

fn of_envoy(root: Place<'_>) -> impl Iterator<Item = Installation<'_>> {
    root.everything().into_iter().filter_map(|holder| {
        let plugin = message(holder, "Wasm")?.at(&["config"])?;
        let configuration = plugin.at(&["configuration"]).map_or(plugin, |any| any.get("value").unwrap_or(any));
        let installed = Installation { configuration, platform: Platform::Envoy { plugin, holder } };
        is_certbound(plugin, plugin.at(&["configuration"])).then_some(installed)
    })
}

fn of_resource(root: Place<'_>) -> impl Iterator<Item = Installation<'_>> {
    let spec = root.get("spec");
    let kind = root.text_at(&["kind"]).unwrap_or_default();
    let istios = match kind {
        "WasmPlugin" => spec,
        "TrafficExtension" => spec.and_then(|spec| spec.get("wasm")),
        _ => None,
    };
    let istios = spec.zip(istios).filter(|(_, wasm)| is_certbound(*wasm, wasm.get("pluginConfig")));
    let istio = istios.map(|(spec, wasm)| Installation {
        configuration: wasm.get("pluginConfig").unwrap_or(wasm),
        platform: Platform::Istio { spec, wasm },
    });
    let extensions = spec.filter(|_| kind == "EnvoyExtensionPolicy").into_iter().flat_map(|spec| spec.list(&["wasm"]));
    let ours = extensions.filter(|extension| is_certbound(*extension, extension.get("config")));
    let gateway = ours.map(|extension| Installation {
        configuration: extension.get("config").unwrap_or(extension),
        platform: Platform::EnvoyGateway { extension },
    });
    istio.into_iter().chain(gateway)
}

/// Whether a Wasm filter is ours: some name in it says so, or its configuration has a key of ours.
fn is_certbound(plugin: Place<'_>, configuration: Option<Place<'_>>) -> bool {
    let inside = |place: Place<'_>| configuration.is_some_and(|configuration| place.is(configuration));
    let mut names = vec![plugin];
    let mut next = 0;
    while let Some(place) = names.get(next).copied() {
        names.extend(place.entries().map(|(_, value)| value).filter(|value| !inside(*value)));
        next = next.saturating_add(1);
    }
    let named = names.iter().filter_map(|place| place.text()).any(|text| text.contains("certbound"));
    let value = configuration.map(|any| any.get("value").unwrap_or(any));
    let has_key = value.is_some_and(|value| match value.text() {
        Some(json) => OUR_KEYS.iter().any(|key| json.contains(&format!("\"{key}\""))),
        None => OUR_KEYS.iter().any(|key| value.get(key).is_some()),
    });
    named || has_key
}

/// Whether an HTTP filter is ours, or holds one of ours.
pub(super) fn is_certbound_filter(filter: Place<'_>) -> bool {
    let wasm = filter.everything().into_iter().filter_map(|holder| message(holder, "Wasm")?.at(&["config"]));
    let discovered = filter.at(&["config_discovery"]).and_then(|_| filter.text_at(&["name"]));
    discovered.is_some_and(|name| name.contains("certbound"))
        || wasm.into_iter().any(|plugin| is_certbound(plugin, plugin.at(&["configuration"])))
}

/// The message of this type that `typed_config` or `value` of an extension holds, or that the place is itself.
pub(super) fn message<'d>(holder: Place<'d>, kind: &str) -> Option<Place<'d>> {
    let config = holder.at(&["typed_config"])?;
    let (url, body) = match config.text_at(&["@type"])? {
        url if url.ends_with(".TypedStruct") => (config.text_at(&["type_url"])?, config.get("value")?),
        url => (url, config),
    };
    (url.rsplit(['.', '/']).next() == Some(kind)).then_some(body)
}

impl<'d> Manager<'d> {
    /// Its HTTP filters, in the order in which requests meet them.
    pub(super) fn filters(self) -> impl Iterator<Item = Place<'d>> {
        self.manager.list(&["http_filters"])
    }
}
