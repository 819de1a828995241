//! StoqTransport: types, validation, generated YAML.
#![forbid(unsafe_code)]
