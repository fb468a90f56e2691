//! How does a test run a hub of its own? With a local server that speaks the hub's API as far as `hf-hub` uses it, since no
//! machine that runs these tests reaches the hub.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::place::sha256;

/// The one commit that every repository has.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Answers `/<org>/<repo>/resolve/<revision>/<file>` with a redirect to `/cdn/…` and the headers that describe the file,
/// and `/cdn/…` with the range asked for, as the hub and its content network do.
pub(crate) struct Hub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, (Vec<u8>, String)>>,
    requests: Mutex<Vec<Request>>,
    next_break: Mutex<Option<Break>>,
    ended: Mutex<bool>,
    end: Condvar,
}

/// What happens to the next transfer after so many bytes.
pub(crate) enum Break {
    Close { after: usize },
    Stall { after: usize },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: String,
    pub(crate) authorization: String,
}

impl Hub {
    pub(crate) fn start() -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn start_on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if Arc::strong_count(&served) == 1 {
                    return; // the test is over
                }
                let shared = Arc::clone(&served);
                thread::spawn(move || shared.answer(stream, address));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn put(&self, file: &str, content: &[u8]) {
        self.put_lying(file, content, &sha256(content));
    }

    pub(crate) fn put_lying(&self, file: &str, content: &[u8], etag: &str) {
        self.shared.files.lock().unwrap().insert(file.to_owned(), (content.to_vec(), etag.to_owned()));
    }

    pub(crate) fn break_next(&self, what: Break) {
        *self.shared.next_break.lock().unwrap() = Some(what);
    }

    pub(crate) fn end_stall(&self) {
        *self.shared.ended.lock().unwrap() = true;
        self.shared.end.notify_all();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The ranges that were asked of the content network, but for the single byte that tells the size.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let requests = self.requests();
        let transfers = requests.iter().filter(|request| request.method == "GET" && request.path.starts_with("/cdn/"));
        transfers.map(|request| request.range.clone()).filter(|range| range != "bytes=0-0").collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.end_stall();
        self.shared = Arc::default();
        let _ = TcpStream::connect(self.address); // wakes the accepting thread
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream, address: SocketAddr) {
        let Some(request) = read_request(&stream) else { return };
        self.requests.lock().unwrap().push(request.clone());
        let mut stream = &stream;
        if let Some(file) = request.path.strip_prefix("/cdn/") {
            return self.send(&mut stream, file, &request);
        }
        let file = request.path.trim_start_matches('/').replace("/resolve/main/", "/");
        let file = file.replace(&format!("/resolve/{COMMIT}/"), "/");
        let head = match self.files.lock().unwrap().get(&file) {
            Some((content, etag)) => format!(
                "302 Found\r\nLocation: http://{address}/cdn/{file}\r\nX-Repo-Commit: {COMMIT}\r\n\
                 X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\nETag: \"of the redirect\"",
                content.len()
            ),
            None if file.starts_with("gated/") => "401 Unauthorized".to_owned(),
            None => "404 Not Found".to_owned(),
        };
        let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    fn send(&self, stream: &mut impl Write, file: &str, request: &Request) {
        let content = self.files.lock().unwrap()[file].0.clone();
        let (from, to) = request.range.trim_start_matches("bytes=").split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let to = to.parse().map_or(content.len(), |last: usize| (last + 1).min(content.len()));
        if from >= content.len() {
            let _ =
                write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        let body = &content[from..to];
        let _ = write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            to - 1,
            content.len(),
            body.len(),
        );
        let next_break = if body.len() > 1 { self.next_break.lock().unwrap().take() } else { None };
        match next_break {
            None => drop(stream.write_all(body)),
            Some(Break::Close { after }) => drop(stream.write_all(&body[..after])),
            Some(Break::Stall { after }) => {
                let _ = stream.write_all(&body[..after]);
                let _ = stream.flush();
                let ended = self.ended.lock().unwrap();
                drop(self.end.wait_while(ended, |ended| !*ended).unwrap());
            }
        }
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let mut request =
        Request { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Request::default() };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value.to_owned(),
            "authorization" => request.authorization = value.to_owned(),
            _ => {}
        }
    }
    Some(request)
}
