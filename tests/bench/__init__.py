# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what certbound costs a proxy, beside what does the same work in other ways."""
