// SPDX-License-Identifier: Apache-2.0

//! The lengths of time that a configuration has: whole seconds, each within its own bounds.

use std::time::Duration;

use serde::Deserialize;

macro_rules! seconds {
    ($($(#[doc = $meaning:literal])+ $name:ident, $default:literal, $least:literal, $most:literal, $refused:literal;)+) => {$(
        $(#[doc = $meaning])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "u64")]
        #[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize), schemars(!try_from))]
        pub(crate) struct $name(
            #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = $least, max = $most)))]
            u64,
        );

        impl $name {
            /// The same, as a length of time.
            pub(crate) const fn duration(self) -> Duration {
                Duration::from_secs(self.0)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = &'static str;

            fn try_from(seconds: u64) -> Result<Self, Self::Error> {
                if ($least..=$most).contains(&seconds) { Ok(Self(seconds)) } else { Err($refused) }
            }
        }
    )+};
}

seconds! {
    /// How far the clocks of the issuer and of this proxy may differ: 0 to 60 seconds; default: 10.
    Leeway, 10, 0, 60, "the leeway is 60 seconds at most";
    /// How long the claims of an active token are kept: 0 to 3600 seconds; default: 30.
    CacheSeconds, 30, 0, 3600, "an active token is kept for 3600 seconds at most";
    /// The time after which unknown keys may cause one more fetch.
    CoolDown, 30, 1, 3600, "the cool-down is 1 to 3600 seconds";
    /// How long keys are fresh if `Cache-Control` says `no-cache`, `no-store`, `max-age=0`, or nothing.
    DefaultAge, 600, 60, 86_400, "the default age is 60 to 86400 seconds";
    /// How long keys are fresh at most, whatever `Cache-Control` says.
    MaxAge, 86_400, 60, 604_800, "the greatest age is 60 to 604800 seconds";
    /// How long keys are used after the last fetch that succeeded.
    MaxStale, 86_400, 60, 604_800, "keys are used for 60 to 604800 seconds";
    /// How long to wait for each response of the authorization server.
    Timeout, 5, 1, 30, "the timeout is 1 to 30 seconds";
}
