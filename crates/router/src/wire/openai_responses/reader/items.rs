//! The items of one answer and how much of each was told.
//!
//! The same text comes up to four times: as deltas, when its part is done, when its item is done, and in the last event.
//! What was told once is not told again, and what was left out before is told when it comes.

use super::super::seen::Kind;
use crate::wire::lenient::Halves;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Content,
    Summary,
    Arguments,
}

#[derive(Debug)]
struct Part {
    channel: Channel,
    index: u64,
    told: String,
    halves: Halves,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    output_index: Option<u64>,
    id: Option<String>,
    call_id: Option<String>,
    /// Among the answer's calls.
    pub(super) call: usize,
    /// It holds something that was told to be opaque.
    pub(super) is_opaque: bool,
    parts: Vec<Part>,
}

/// What servers say to tell one item from another. Any of it may be missing, repeated or wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) output_index: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) call_id: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Items(Vec<Item>);

impl Items {
    pub(super) fn get(&mut self, at: usize) -> &mut Item {
        &mut self.0[at]
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn begin(&mut self, kind: Kind, place: Place, call: usize) -> usize {
        let Place { output_index, id, call_id } = place;
        self.0.push(Item { kind, output_index, id, call_id, call, is_opaque: false, parts: Vec::new() });
        self.0.len() - 1
    }

    /// The item that is named again in full: by all that is said of it, and not by its position alone where ids differ.
    pub(super) fn known(&self, kind: Kind, place: &Place) -> Option<usize> {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        let of_kind = || self.0.iter().enumerate().rev().filter(|(_, item)| item.kind == kind);
        let by_id = of_kind().find(|(_, item)| same(&item.call_id, &place.call_id)).or_else(|| {
            of_kind().find(|(_, item)| same(&item.id, &place.id) && !differ(&item.call_id, &place.call_id))
        });
        let by_index = || {
            of_kind().find(|(_, item)| {
                let at = item.output_index.is_some() && item.output_index == place.output_index;
                at && !differ(&item.call_id, &place.call_id)
            })
        };
        // Deltas that name no item at all.
        let nameless = || of_kind().find(|(_, item)| item.output_index.is_none() && item.id.is_none());
        by_id.or_else(by_index).or_else(nameless).map(|(at, _)| at)
    }

    /// The item that a delta belongs to.
    pub(super) fn grown(&self, kind: Kind, place: &Place) -> Option<usize> {
        let of_kind = || self.0.iter().enumerate().rev().filter(|(_, item)| item.kind == kind);
        let by_index =
            || of_kind().find(|(_, item)| item.output_index.is_some() && item.output_index == place.output_index);
        let by_id = || of_kind().find(|(_, item)| item.id.is_some() && item.id == place.id);
        let both = of_kind()
            .find(|(_, item)| item.id.is_some() && item.id == place.id && item.output_index == place.output_index);
        let nothing_said = place.output_index.is_none() && place.id.is_none();
        let last = || of_kind().next().filter(|_| nothing_said);
        both.or_else(by_index).or_else(by_id).or_else(last).map(|(at, _)| at)
    }

    /// An item of that kind all of whose text is this.
    pub(super) fn saying(&self, kind: Kind, text: &str) -> Option<usize> {
        self.0.iter().rposition(|item| item.kind == kind && !text.is_empty() && item.text() == text)
    }

    /// Whatever kind of item it is, that is about this place.
    pub(super) fn any(&self, place: &Place) -> Option<usize> {
        self.0.iter().rposition(|item| {
            item.id.is_some() && item.id == place.id
                || item.output_index.is_some() && item.output_index == place.output_index
        })
    }
}

impl Item {
    fn text(&self) -> String {
        self.parts.iter().map(|part| part.told.as_str()).collect()
    }

    fn part(&mut self, channel: Channel, index: u64) -> &mut Part {
        let at = self.parts.iter().position(|part| part.channel == channel && part.index == index);
        let at = at.unwrap_or_else(|| {
            self.parts.push(Part { channel, index, told: String::new(), halves: Halves::default() });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    /// Whether something was told of another part, and nothing of this one.
    pub(super) fn goes_on_in(&self, channel: Channel, index: u64) -> bool {
        let is_this = |part: &Part| part.channel == channel && part.index == index;
        self.parts.iter().any(|part| !is_this(part) && !part.told.is_empty())
            && !self.parts.iter().any(|part| is_this(part) && !part.told.is_empty())
    }

    /// More of a part: what there is to tell now.
    pub(super) fn more(&mut self, channel: Channel, index: u64, delta: &serde_json::value::RawValue) -> String {
        let part = self.part(channel, index);
        let text = part.halves.read(delta);
        part.told.push_str(&text);
        text
    }

    /// The whole of a part: what was not told of it yet. Nothing when what was told is no beginning of it.
    pub(super) fn rest(&mut self, channel: Channel, index: u64, whole: &str) -> String {
        let part = self.part(channel, index);
        part.halves = Halves::default();
        let Some(rest) = whole.strip_prefix(part.told.as_str()) else { return String::new() };
        let rest = rest.to_owned();
        part.told.push_str(&rest);
        rest
    }

    pub(super) fn told(&mut self, channel: Channel, index: u64) -> &str {
        &self.part(channel, index).told
    }
}
