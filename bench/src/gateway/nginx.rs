//! nginx as the upstream with a fixed answer, and as the plain hop. One process each, without a master.

use super::{
    http::{ANSWER, MODELS},
    process::{Running, free_port},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command, time::Duration};

const PROGRAM: &str = "/usr/sbin/nginx";
const START: Duration = Duration::from_secs(10);

pub struct Nginx {
    pub port: u16,
    _process: Running,
}

impl Nginx {
    /// Answers every request with the same chat completion of 1 KB.
    pub fn fixed_answer(folder: &Path) -> Result<Self> {
        let locations =
            format!("location = /v1/models {{ return 200 '{}'; }} location / {{ return 200 '{}'; }}", *MODELS, *ANSWER);
        Self::start(folder, "", &locations)
    }

    /// Passes everything on over connections that are kept.
    pub fn hop(folder: &Path, upstream: u16, buffering: bool) -> Result<Self> {
        let upstreams = format!(
            "upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; keepalive_timeout 1h; }}"
        );
        let buffering = if buffering { "on" } else { "off" };
        let locations = format!(
            "location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering {buffering}; proxy_read_timeout 1h; }}"
        );
        Self::start(folder, &upstreams, &locations)
    }

    fn start(folder: &Path, upstreams: &str, locations: &str) -> Result<Self> {
        let (port, at) = (free_port()?, folder.display());
        fs::create_dir_all(folder)?;
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        // Where there is no other user, as in a network of our own, its folders cannot be given to one.
        let text = format!(
            "user root;\ndaemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n{temporary}access_log off;\ndefault_type application/json;\n\
             keepalive_requests 1000000000;\nkeepalive_timeout 1h;\n{upstreams}\n\
             server {{ listen 127.0.0.1:{port}; {locations} }}\n}}\n"
        );
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, text)?;
        let mut command = Command::new(PROGRAM);
        command.arg("-e").arg(folder.join("error.log")).arg("-c").arg(&configuration);
        let mut process = Running::start(&mut command).context("on Debian: apt-get install nginx-light")?;
        process.listens(port, START).context("nginx")?;
        Ok(Self { port, _process: process })
    }
}
