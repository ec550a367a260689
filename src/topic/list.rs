//! Lists of topics. A client's list is checked name by name while it is parsed.
//!
//! Pure: no I/O and no clock. At most [`MAX_TOPICS`] names are held, however long a list is.

use std::{collections::HashSet, fmt, ops::Deref, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, SeqAccess, Visitor},
};

use crate::topic::{InvalidTopicName, TopicName};

/// Greatest number of topics that one connection may be subscribed to.
pub(crate) const MAX_TOPICS: usize = 128;

/// The error of a list of topics: the first fault in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTopics {
    /// A name is not valid for a topic.
    #[error("topics: {0}")]
    Name(InvalidTopicName),
    /// The list is empty, and at least one topic is needed.
    #[error("topics: none")]
    None,
    /// The list has more than 128 topics, which is the limit of a connection.
    #[error("topics: more than {MAX_TOPICS}")]
    TooMany,
}

/// Up to 128 topics, each once.
///
/// Cloning is a reference-count increment.
#[derive(Clone, Eq)]
pub struct Topics(Arc<[TopicName]>);

impl Topics {
    /// Makes a list of `topics`, in their order. A topic that occurs twice counts once.
    ///
    /// # Errors
    ///
    /// There are more than 128 different topics.
    pub fn new(topics: impl IntoIterator<Item = TopicName>) -> Result<Self, InvalidTopics> {
        let mut list = TopicList::default();
        topics
            .into_iter()
            .try_for_each(|topic| list.insert(topic))?;
        Ok(list.finish())
    }

    /// Makes a list of topics that the caller knows to be different, and at most 128.
    pub(crate) fn of_distinct(topics: impl IntoIterator<Item = TopicName>) -> Self {
        Self(topics.into_iter().collect())
    }
}

impl From<TopicName> for Topics {
    fn from(topic: TopicName) -> Self {
        Self(Arc::from([topic]))
    }
}

impl Deref for Topics {
    type Target = [TopicName];

    fn deref(&self) -> &[TopicName] {
        &self.0
    }
}

/// Compares the pointers first: two lists are nearly always clones of the same list.
impl PartialEq for Topics {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A list that is built name by name. Each name is checked when it is added. A name that occurs
/// twice counts once.
#[derive(Debug, Default)]
pub(crate) struct TopicList {
    topics: Vec<TopicName>,
    seen: HashSet<TopicName>,
}

impl TopicList {
    /// Checks the next name, and adds it unless the list has it already.
    pub(crate) fn add(&mut self, name: &str) -> Result<(), InvalidTopics> {
        if self.seen.contains(name) {
            return Ok(());
        }
        self.insert(TopicName::new(name).map_err(InvalidTopics::Name)?)
    }

    fn insert(&mut self, topic: TopicName) -> Result<(), InvalidTopics> {
        if self.seen.contains(&topic) {
            return Ok(());
        }
        if self.topics.len() == MAX_TOPICS {
            return Err(InvalidTopics::TooMany);
        }
        self.seen.insert(topic.clone());
        self.topics.push(topic);
        Ok(())
    }

    /// Returns the topics in the order in which they were added.
    pub(crate) fn finish(self) -> Topics {
        Topics::of_distinct(self.topics)
    }

    /// Returns the topics in the order in which they were added, or the topic `default` if there
    /// are none.
    pub(crate) fn or(self, default: &str) -> Topics {
        if self.topics.is_empty() {
            return Topics::of_distinct(TopicName::new(default));
        }
        self.finish()
    }
}

/// A list of topics that is parsed from a JSON document, or the first fault of the list. A fault of
/// the list is no error of the document, which is parsed to its end.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) Result<Topics, InvalidTopics>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Named;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Named, A::Error> {
        let mut list = TopicList::default();
        while let Some(added) = names.next_element_seed(Next(&mut list))? {
            if let Err(fault) = added {
                // The rest is parsed, too: if it is not JSON, that is the error to report.
                while names.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Named(Err(fault)));
            }
        }
        Ok(Named(Ok(list.finish())))
    }
}

/// Parses the next name of a list, and adds it without an intermediate copy.
struct Next<'a>(&'a mut TopicList);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = Result<(), InvalidTopics>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Next<'_> {
    type Value = Result<(), InvalidTopics>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.add(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `count` different names.
    fn numbers(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    /// Makes a list name by name. Returns its length, or its first fault.
    fn build(names: &[String]) -> Result<usize, InvalidTopics> {
        let mut list = TopicList::default();
        names.iter().try_for_each(|name| list.add(name))?;
        Ok(list.topics.len())
    }

    /// Parses a list from JSON. Returns its length, or its first fault. Returns the outer error if
    /// the JSON is not valid or is no list of strings.
    fn parse(json: &str) -> Result<Result<usize, InvalidTopics>, String> {
        let named = serde_json::from_str::<Named>(json).map_err(|error| error.to_string());
        named.map(|Named(topics)| topics.map(|topics| topics.len()))
    }

    fn to_json(names: &[String]) -> String {
        serde_json::to_string(names).unwrap()
    }

    #[test]
    fn one_topic_more_than_allowed_is_refused() {
        let names = numbers(MAX_TOPICS + 1);
        assert_eq!(build(&names[..MAX_TOPICS]), Ok(MAX_TOPICS));
        assert_eq!(build(&names), Err(InvalidTopics::TooMany));
        assert_eq!(parse(&to_json(&names[1..])), Ok(Ok(MAX_TOPICS)));
        assert_eq!(parse(&to_json(&names)), Ok(Err(InvalidTopics::TooMany)));
        assert_eq!(InvalidTopics::TooMany.to_string(), "topics: more than 128");
    }

    #[test]
    fn the_first_fault_of_a_list_is_reported_and_a_repeated_name_is_none() {
        let mut names = numbers(MAX_TOPICS);
        // Repetitions do not make the list longer, however many they are.
        names.extend(vec!["7".to_owned(); 10_500]);
        assert_eq!(parse(&to_json(&names)), Ok(Ok(MAX_TOPICS)));
        // Returns the fault of the list with two more names at its end.
        let fault_of = |last: [&str; 2]| {
            let names = [&names[..], &last.map(str::to_owned)].concat();
            let fault = build(&names).unwrap_err();
            assert_eq!(parse(&to_json(&names)), Ok(Err(fault)));
            fault.to_string()
        };
        assert!(fault_of(["", "new"]).starts_with("topics: a topic name is"));
        assert!(fault_of(["new", ""]).starts_with("topics: more than"));
    }

    #[test]
    fn json_that_is_no_list_of_names_is_an_error_of_the_document() {
        assert!(parse("7").unwrap_err().contains("expected a sequence"));
        assert!(
            parse("[\"a\", 7]")
                .unwrap_err()
                .contains("expected a string")
        );
        assert!(parse("[\"\", \"a\"").unwrap_err().starts_with("EOF"));
        // After the first fault, the other elements need only be JSON.
        assert!(parse("[\"\", 7]").unwrap().is_err());
    }

    #[test]
    fn no_more_names_are_held_than_are_allowed() {
        let mut list = TopicList::default();
        let added = numbers(65_000)
            .iter()
            .map(|name| list.add(name))
            .filter(Result::is_ok)
            .count();
        assert_eq!(added, MAX_TOPICS);
        // Both collections double their capacity when they are full.
        assert!(
            list.topics.capacity() <= 2 * MAX_TOPICS,
            "{}",
            list.topics.capacity()
        );
        assert!(
            list.seen.capacity() <= 4 * MAX_TOPICS,
            "{}",
            list.seen.capacity()
        );
    }

    #[test]
    fn an_escaped_name_is_the_same_as_a_plain_one() {
        // The list has one name, because `\u0063` is `c`.
        assert_eq!(parse("[\"cats\", \"\\u0063ats\"]"), Ok(Ok(1)));
    }
}
