//! The places of a file at which certbound is configured.

use crate::config::document::{Document, Place};

/// A plugin configuration and what stands around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Installation<'d> {
    pub(super) configuration: Place<'d>,
    pub(super) platform: Platform<'d>,
}

/// Who hands the configuration to the filter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Platform<'d> {
    /// Nobody yet: the file is the plugin configuration itself.
    Nobody,
    /// Envoy: its `PluginConfig`, and the filter among the HTTP filters, where the file has them.
    Envoy { plugin: Place<'d>, filter: Option<HttpFilter<'d>> },
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

impl<'d> Installation<'d> {
    /// The filter, where the files have the HTTP filters that it is one of.
    pub(super) fn filter(self) -> Option<HttpFilter<'d>> {
        match self.platform {
            Platform::Envoy { filter, .. } => filter,
            Platform::Nobody | Platform::Istio { .. } | Platform::EnvoyGateway { .. } => None,
        }
    }
}

/// The keys that only our configuration has at its top.
const OUR_KEYS: &[&str] = &["policies", "default_policy", "resource_server", "authorization_server", "clean_only"];

/// Where Istio's and Envoy Gateway's resources are told by.
const KUBERNETES: &[&str] = &["apiVersion", "kind"];

/// Every installation in these documents. A document that is nothing else is a plugin configuration.
pub(super) fn installations(documents: &[Document]) -> Vec<Installation<'_>> {
    let managers: Vec<_> = documents.iter().flat_map(|document| managers(document.root())).collect();
    documents.iter().flat_map(|document| of_document(document.root(), &managers)).collect()
}

fn of_document<'d>(root: Place<'d>, managers: &[Manager<'d>]) -> Vec<Installation<'d>> {
    if KUBERNETES.iter().all(|key| root.get(key).is_some()) {
        return of_resource(root).chain(of_envoy(root, managers)).collect();
    }
    let envoys = ["static_resources", "dynamic_resources", "admin", "node", "resources", "@type"];
    let is_envoys = envoys.iter().any(|key| root.at(&[key]).is_some());
    if is_envoys {
        of_envoy(root, managers).collect()
    } else {
        vec![Installation { configuration: root, platform: Platform::Nobody }]
    }
}

/// Every HTTP connection manager of a listener in a document.
pub(super) fn managers(root: Place<'_>) -> Vec<Manager<'_>> {
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

fn of_envoy<'d>(root: Place<'d>, managers: &[Manager<'d>]) -> impl Iterator<Item = Installation<'d>> {
    let plugins = root.everything().into_iter().filter_map(|holder| {
        let plugin = message(holder, "Wasm")?.at(&["config"])?;
        is_certbound(plugin, plugin.at(&["configuration"])).then_some((holder, plugin))
    });
    plugins.flat_map(|(holder, plugin)| {
        let configuration = plugin.at(&["configuration"]).map_or(plugin, |any| any.get("value").unwrap_or(any));
        let filters: Vec<_> = managers.iter().filter_map(|manager| position(holder, *manager)).map(Some).collect();
        // In a file of its own, what ECDS brings has no filters around it.
        let filters = if filters.is_empty() { vec![None] } else { filters };
        let installed = move |filter| Installation { configuration, platform: Platform::Envoy { plugin, filter } };
        filters.into_iter().map(installed)
    })
}

/// Where a manager has this filter: among its filters, inside one of them, or by its name through ECDS.
fn position<'d>(holder: Place<'d>, manager: Manager<'d>) -> Option<HttpFilter<'d>> {
    let name = holder.text_at(&["name"]);
    let has = |filter: Place<'d>| {
        let discovered = filter.at(&["config_discovery"]).is_some() && filter.text_at(&["name"]) == name;
        discovered || filter.everything().into_iter().any(|inside| inside.is(holder))
    };
    let index = manager.filters().position(has)?;
    Some(HttpFilter { manager, index })
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
