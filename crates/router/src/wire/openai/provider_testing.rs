//! Running decoders over bodies that are all there.

use super::{Options, Origin};
pub(crate) use crate::testing::split;
use crate::{
    Error, Event, Frame, Secret,
    answer::{Finish, Whole},
    endpoint::{Endpoint, Scheme},
    providers::ChatStream,
};
use futures_util::StreamExt;
use protocol::Location;
use std::sync::Arc;

/// Of a server with the key `sk-1`.
pub(crate) fn origin() -> Origin {
    let options = Options::new("openai", "http://127.0.0.1:9/v1", Location::Local);
    let keys = vec![Secret::new("sk-1")];
    let endpoint = Endpoint::new(
        &options.name,
        &options.base_url,
        options.location,
        options.connect_timeout,
        Scheme::Bearer,
        keys,
    );
    Origin { endpoint: Arc::new(endpoint.unwrap()), model: "m".to_owned(), silent: Arc::default() }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) frames: Vec<Frame>,
    pub(crate) error: Option<Error>,
}

impl Got {
    pub(crate) fn raw(&self) -> String {
        let raw: Vec<u8> = self.frames.iter().filter_map(|frame| frame.raw.as_deref()).flatten().copied().collect();
        String::from_utf8(raw).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.frames.iter().flat_map(|frame| frame.events.clone()).collect()
    }

    pub(crate) fn whole(&self) -> Whole {
        let mut whole = Whole::default();
        self.events().iter().for_each(|event| whole.add(event));
        whole
    }

    pub(crate) fn finish(&self) -> Finish {
        self.whole().finish.unwrap_or_else(|| panic!("not whole: {self:?}"))
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.error.is_none() && matches!(self.events().last(), Some(Event::Finished(_)))
    }
}

/// Everything a decoder makes of a body, without waiting for anything real.
pub(crate) fn collect(mut decoded: ChatStream) -> Got {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async move {
        let mut got = Got { frames: Vec::new(), error: None };
        while let Some(frame) = decoded.next().await {
            match frame {
                Ok(frame) => got.frames.push(frame),
                Err(error) => {
                    assert_eq!(got.error.replace(error), None, "an error is the last thing said");
                }
            }
        }
        got
    })
}
