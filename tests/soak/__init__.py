# SPDX-License-Identifier: Apache-2.0
"""`make soak`: good and hostile requests at once through a real Envoy, for half an hour, while the servers that certbound asks
fail and an operator changes whatever may be changed. An oracle says of each request what must come of it."""
