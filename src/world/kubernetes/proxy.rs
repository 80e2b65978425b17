//! Whether a cluster is reached by a proxy. Pure. As every tool of Kubernetes's decides it: the kubeconfig's own proxy always,
//! that of the environment but for hosts that are to be reached without one.

use std::net::IpAddr;

use axum::http::Uri;

/// Where the environment names a proxy, the first before the second.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
/// Where it names what is reached without one.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxy by which a server is reached. `own`: the one that the kubeconfig names for it.
pub(super) fn proxy(
    server: &Uri,
    own: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, String> {
    let set = |names: [&str; 2]| names.into_iter().find_map(|name| environment(name).filter(|text| !text.is_empty()));
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        return read(own).map(Some).ok_or_else(|| "the cluster's proxy-url in the kubeconfig is no URL".to_owned());
    }
    let (Some(text), Some("https")) = (set(PROXY), server.scheme_str()) else { return Ok(None) };
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(443);
    if is_here(&host) || set(NO_PROXY).is_some_and(|without| without.split(',').any(|one| names(one, &host, port))) {
        return Ok(None);
    }
    read(&text).map(Some).ok_or_else(|| "the variable HTTPS_PROXY is no URL".to_owned())
}

/// Without a scheme it is `http`.
fn read(text: &str) -> Option<Uri> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    whole.parse::<Uri>().ok().filter(|uri| uri.host().is_some())
}

/// Whether it is this computer.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an entry of `NO_PROXY` names the host: an address, a range of them, a domain with all that is in it, or with a dot
/// before it what is in it only.
fn names(entry: &str, host: &str, port: u16) -> bool {
    let entry = entry.trim().to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>()
        && let Some((network, bits)) = entry.split_once('/')
    {
        return network.parse().is_ok_and(|network| bits.parse().is_ok_and(|bits| is_in(address, network, bits)));
    }
    let is_address = entry.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let (name, of_port) = match entry.rsplit_once(':') {
        Some((name, of_port)) if !is_address => (name, of_port.parse::<u16>().ok()),
        _ => (entry.as_str(), None),
    };
    if of_port.is_some_and(|of_port| of_port != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']).trim_start_matches('*');
    match name.strip_prefix('.') {
        Some(domain) => !domain.is_empty() && host.ends_with(name),
        None => !name.is_empty() && (host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))),
    }
}

/// Whether an address begins with so many bits of the network's.
fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let differ = u32::from(address) ^ u32::from(network);
            differ.checked_shr(32 - bits).unwrap_or_default() == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let differ = u128::from(address) ^ u128::from(network);
            differ.checked_shr(128 - bits).unwrap_or_default() == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy's host, or `-`.
    fn by(server: &str, own: Option<&str>, without: &str) -> String {
        let environment = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://user:hunter2@proxy.corp:3128".to_owned()),
            "NO_PROXY" => Some(without.to_owned()),
            _ => None,
        };
        let proxy = proxy(&server.parse().unwrap(), own, environment).unwrap();
        proxy.map_or_else(|| "-".to_owned(), |proxy| proxy.host().unwrap().to_owned())
    }

    #[test]
    fn no_proxy_is_used_for_what_is_to_be_reached_without_one() {
        for (server, without, proxy) in [
            ("https://api.cloud.com", "", "proxy.corp"),
            ("https://127.0.0.1:6443", "", "-"),
            ("https://[::1]:6443", "", "-"),
            ("https://localhost:6443", "", "-"),
            ("http://api.cloud.com", "", "-"),
            ("https://api.lab.corp", "other, lab.corp ,", "-"),
            ("https://lab.corp", "lab.corp", "-"),
            ("https://lab.corp", ".lab.corp", "proxy.corp"),
            ("https://api.lab.corp", ".lab.corp", "-"),
            ("https://api.lab.corp", "*.lab.corp", "-"),
            ("https://notlab.corp", "lab.corp", "proxy.corp"),
            ("https://API.lab.corp", "api.LAB.corp", "-"),
            ("https://api.lab.corp:6443", "lab.corp:6443", "-"),
            ("https://api.lab.corp", "lab.corp:6443", "proxy.corp"),
            ("https://10.1.2.3", "10.1.0.0/16", "-"),
            ("https://10.2.2.3", "10.1.0.0/16", "proxy.corp"),
            ("https://10.2.2.3", "0.0.0.0/0", "-"),
            ("https://10.2.2.3", "10.2.2.3/32", "-"),
            ("https://10.2.2.4", "10.2.2.3", "proxy.corp"),
            ("https://10.2.2.3:6443", "10.2.2.3", "-"),
            ("https://[fd00::1]:6443", "fd00::/8", "-"),
            ("https://[fd00::1]:6443", "fd00::1", "-"),
            ("https://[fd00::2]:6443", "fd00::1", "proxy.corp"),
            ("https://api.cloud.com", "*", "-"),
            ("https://api.cloud.com", ",", "proxy.corp"),
        ] {
            assert_eq!(by(server, None, without), proxy, "{server} {without}");
        }
        // What the kubeconfig says itself counts everywhere.
        assert_eq!(by("https://127.0.0.1:6443", Some("jump.corp:8080"), "*"), "jump.corp");
    }

    #[test]
    fn a_proxy_that_is_no_url_is_named_by_its_place_and_not_by_what_is_in_it() {
        let server = "https://api.cloud.com".parse().unwrap();
        let wrong = "http://user:hunter2@ proxy";
        let environment = |name: &str| (name == "HTTPS_PROXY").then(|| wrong.to_owned());
        let error = proxy(&server, None, environment).unwrap_err();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("hunter2"), "{error}");
        let error = proxy(&server, Some(wrong), |_| None).unwrap_err();
        assert!(error.contains("proxy-url") && !error.contains("hunter2"), "{error}");
    }
}
