//! `GET /` and the files that the page there is made of. They are in this program; nothing is fetched from elsewhere.

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;
use crate::path::Id;

/// What the page may do: run its own scripts, show what it was given, speak to this gateway. A text that somehow became
/// markup would find nothing to run; `trusted-types` has the browser refuse to make markup of texts at all.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page: its name, its media type, itself.
type File = (&'static str, &'static str, &'static [u8]);

const INDEX: File = ("index.html", HTML, include_bytes!("page/index.html"));

const FILES: &[File] = &[
    ("icon.svg", SVG, include_bytes!("page/icon.svg")),
    ("answer.css", CSS, include_bytes!("page/answer.css")),
    ("ask.css", CSS, include_bytes!("page/ask.css")),
    ("brain.css", CSS, include_bytes!("page/brain.css")),
    ("clocks.css", CSS, include_bytes!("page/clocks.css")),
    ("map.css", CSS, include_bytes!("page/map.css")),
    ("look.css", CSS, include_bytes!("page/look.css")),
    ("answer.js", JS, include_bytes!("page/answer.js")),
    ("ask.js", JS, include_bytes!("page/ask.js")),
    ("attach.js", JS, include_bytes!("page/attach.js")),
    ("brain.js", JS, include_bytes!("page/brain.js")),
    ("devices.js", JS, include_bytes!("page/devices.js")),
    ("door.js", JS, include_bytes!("page/door.js")),
    ("feed.js", JS, include_bytes!("page/feed.js")),
    ("findings.js", JS, include_bytes!("page/findings.js")),
    ("happenings.js", JS, include_bytes!("page/happenings.js")),
    ("key.js", JS, include_bytes!("page/key.js")),
    ("legs.js", JS, include_bytes!("page/legs.js")),
    ("lines.js", JS, include_bytes!("page/lines.js")),
    ("main.js", JS, include_bytes!("page/main.js")),
    ("make.js", JS, include_bytes!("page/make.js")),
    ("models.js", JS, include_bytes!("page/models.js")),
    ("rows.js", JS, include_bytes!("page/rows.js")),
    ("spark.js", JS, include_bytes!("page/spark.js")),
    ("timeline.js", JS, include_bytes!("page/timeline.js")),
    ("traffic.js", JS, include_bytes!("page/traffic.js")),
    ("words.js", JS, include_bytes!("page/words.js")),
];

/// The page.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    let rules = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // A window that opened this one, or that this one opens, has no hold on it.
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (rules, served(&INDEX, &headers)).into_response()
}

/// A file that the page asks for.
pub(crate) async fn file(Id(name): Id, method: Method, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let file = FILES.iter().find(|(known, ..)| *known == name);
    file.map(|file| served(file, &headers)).ok_or_else(|| ApiError::nothing_here(&method, &uri))
}

/// A file, unless the browser has it already: it asks each time, since a newer program has newer files.
fn served((_, kind, bytes): &File, headers: &HeaderMap) -> Response {
    let digest = format!("{:x}", Sha256::digest(bytes));
    let tag = format!("\"{digest:.32}\"");
    let has = headers.get(header::IF_NONE_MATCH).is_some_and(|has| has.as_bytes() == tag.as_bytes());
    let about = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if has {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, *kind)], *bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        let (_, _, bytes) = FILES.iter().chain([&INDEX]).find(|(known, ..)| *known == name).unwrap();
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_file_that_is_named_is_there_and_every_file_is_named() {
        let page = text("index.html");
        let scripts: String = FILES.iter().filter(|(.., kind, _)| *kind == JS).map(|(name, ..)| text(name)).collect();
        for (name, kind, _) in FILES {
            let named = match *kind {
                JS if *name != "main.js" => scripts.contains(&format!("from './{name}'")),
                _ => page.contains(&format!("\"console/{name}\"")),
            };
            assert!(named, "nothing asks for {name}");
        }
        for (_, rest) in scripts.match_indices("from './").map(|(at, from)| scripts.split_at(at + from.len())) {
            let name = rest.split('\'').next().unwrap();
            assert!(FILES.iter().any(|(known, ..)| *known == name), "there is no {name}");
        }
    }

    #[test]
    fn no_text_is_ever_made_markup_and_nothing_is_asked_of_strangers() {
        for (name, ..) in FILES.iter().chain([&INDEX]) {
            let text = text(name);
            for bad in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\"", "onclick"]
            {
                assert!(!text.contains(bad), "{name}: {bad}");
            }
            let links = text.matches("://").count() - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(links, 0, "{name} names another place");
        }
    }

    #[tokio::test]
    async fn a_browser_that_has_a_file_is_not_sent_it_again() {
        let first = index(HeaderMap::new()).await;
        assert_eq!(first.headers()[header::CONTENT_TYPE], HTML);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let again = index(headers).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
    }
}
