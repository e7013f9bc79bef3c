//! `WWW-Authenticate`: how a registry asks who is there (RFC 9110 section 11.6.1; the Docker registry's token specification).

use std::collections::BTreeMap;

/// One way to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with each request (RFC 7617).
    Basic,
    /// A token of another server (RFC 6750).
    Bearer {
        /// The URL of that server.
        realm: String,
        /// The name that the registry has there.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

/// Returns the challenges of a header that are known here, in order; what cannot be read is none.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = token(rest) else {
            break;
        };
        let value = after.trim_start_matches([' ', '\t']);
        match value.strip_prefix('=') {
            // A parameter of the challenge before.
            Some(value) => {
                let Some((text, after)) = value_of(value.trim_start_matches([' ', '\t'])) else {
                    break;
                };
                let Some((_, parameters)) = found.last_mut() else {
                    break;
                };
                // The first of two counts: a proxy can only have added the second.
                parameters.entry(word.to_ascii_lowercase()).or_insert(text);
                rest = after;
            }
            None => {
                found.push((word.to_ascii_lowercase(), BTreeMap::new()));
                rest = after;
            }
        }
    }
    let known = |(scheme, mut parameters): (String, BTreeMap<String, String>)| match scheme.as_str()
    {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        }),
        _ => None,
    };
    found.into_iter().filter_map(known).collect()
}

/// Splits a token (RFC 9110, section 5.6.2) off.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_odd = |c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(is_odd).unwrap_or(text.len());
    text.split_at_checked(end).filter(|_| end > 0)
}

/// Splits a token or a quoted text off.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        let cases = [
            (r#"Basic realm="basic-realm""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                vec![bearer(
                    "https://auth.example/token",
                    Some("registry.example"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            (
                r#"BEARER Realm = "https://a.example/\"x\"" , scope=a, Basic realm="x, Bearer realm=y""#,
                vec![
                    bearer("https://a.example/\"x\"", None, Some("a")),
                    Challenge::Basic,
                ],
            ),
            (r#"Negotiate, Basic realm="x""#, vec![Challenge::Basic]),
            (r#"Bearer service="x""#, vec![]),
            (r#"Bearer realm="https://open"#, vec![]),
            ("", vec![]),
            ("= , ,", vec![]),
            ("\u{1b}", vec![]),
        ];
        for (header, challenges) in cases {
            assert_eq!(parse(header), challenges, "{header}");
        }
    }
}
