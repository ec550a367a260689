use proptest::{prelude::*, sample::Index};

use super::*;

const LIFETIME: Duration = Duration::from_secs(300);

fn registry(limit: usize) -> Arc<Registry> {
    Registry::new(LIFETIME, limit, Budget::new(u64::MAX))
}

fn topics(name: &str) -> Topics {
    Topics::from(TopicName::new(name).unwrap())
}

/// Registers a user with the topic `cats`. Returns the id of the registration.
fn register(registry: &Registry, now: Instant) -> Uuid {
    registry
        .register(
            UserId::from(1_u64),
            Topics::from(TopicName::new("cats").unwrap()),
            now,
        )
        .unwrap()
}

#[test]
fn a_registration_that_nobody_connects_to_expires() {
    let registry = registry(10);
    let now = Instant::now();
    let id = register(&registry, now);
    registry.expire(now + LIFETIME / 2);
    assert_eq!(registry.len(), 1);
    registry.expire(now + LIFETIME);
    assert_eq!(registry.claim(id).unwrap_err(), Unclaimable::Unknown);
}

#[test]
fn a_check_says_what_a_claim_would_say_and_does_not_prolong_the_registration() {
    let registry = registry(10);
    let now = Instant::now();
    let id = register(&registry, now);
    assert_eq!(registry.check(Uuid::new_v4()), Err(Unclaimable::Unknown));
    assert_eq!(registry.check(id), Ok(()));
    let mut claim = registry.claim(id).unwrap();
    assert_eq!(registry.check(id), Err(Unclaimable::Arriving));
    assert!(claim.take_over(ConnectionId::of_nobody(1)).is_some());
    assert_eq!(registry.check(id), Ok(()), "the next one may take over");
    drop(claim);
    let waiting = register(&registry, now);
    assert_eq!(registry.check(waiting), Ok(()));
    registry.expire(now + LIFETIME);
    assert_eq!(registry.check(waiting), Err(Unclaimable::Unknown));
}

#[test]
fn while_a_handshake_is_under_way_another_one_is_refused_and_nothing_expires() {
    let registry = registry(10);
    let now = Instant::now();
    let id = register(&registry, now);
    let claim = registry.claim(id).unwrap();
    assert_eq!(registry.claim(id).unwrap_err(), Unclaimable::Arriving);
    registry.expire(now + 2 * LIFETIME);
    assert_eq!(registry.len(), 1);
    drop(claim);
    // Without the claim, the registration waits for a connection again.
    assert!(registry.claim(id).is_ok());
}

#[test]
fn after_a_connection_a_registration_waits_for_its_lifetime_again_and_keeps_its_topics() {
    let registry = registry(10);
    let id = register(&registry, Instant::now());
    // A connection changes its topics, and ends.
    let mut claim = registry.claim(id).unwrap();
    let taken_over = claim.take_over(ConnectionId::of_nobody(1)).unwrap();
    assert_eq!(
        (taken_over.topics, taken_over.previous),
        (topics("cats"), None)
    );
    claim.set_topics(&topics("dogs"));
    drop(claim);
    // The next connection gets these topics, and ends.
    let claim = registry.claim(id).unwrap();
    assert_eq!(claim.topics(), Some(topics("dogs")));
    drop(claim);
    // No other connection uses the registration within its lifetime.
    registry.expire(Instant::now() + 2 * LIFETIME);
    assert_eq!(registry.len(), 0);
}

// The client of a dead connection got 409 until the server noticed that the connection was dead.
#[test]
fn a_new_connection_takes_over_and_the_old_one_changes_nothing_any_more() {
    let registry = registry(10);
    let id = register(&registry, Instant::now());
    let [first, second] = [1, 2].map(ConnectionId::of_nobody);
    let mut old = registry.claim(id).unwrap();
    assert_eq!(old.take_over(first).unwrap().previous, None);

    let mut new = registry.claim(id).unwrap();
    old.set_topics(&topics("until the handshake succeeds"));
    let taken_over = new.take_over(second).unwrap();
    assert_eq!(taken_over.previous, Some(first));
    assert_eq!(taken_over.topics, topics("until the handshake succeeds"));

    old.set_topics(&topics("ignored"));
    drop(old);
    registry.expire(Instant::now() + 2 * LIFETIME);
    assert_eq!(new.topics(), Some(taken_over.topics));
    assert_eq!(registry.delete(id), Some(Some(second)));
}

#[test]
fn if_the_new_connection_fails_the_old_one_keeps_the_registration() {
    let registry = registry(10);
    let id = register(&registry, Instant::now());
    let first = ConnectionId::of_nobody(1);
    let mut old = registry.claim(id).unwrap();
    let _ = old.take_over(first).unwrap();
    drop(registry.claim(id).unwrap());
    old.set_topics(&topics("dogs"));
    assert_eq!(old.topics(), Some(topics("dogs")));
    assert_eq!(registry.delete(id), Some(Some(first)));
}

#[test]
fn a_registration_deleted_during_a_handshake_is_taken_over_by_nobody() {
    let registry = registry(10);
    let id = register(&registry, Instant::now());
    let first = ConnectionId::of_nobody(1);
    let mut old = registry.claim(id).unwrap();
    let _ = old.take_over(first).unwrap();
    let mut new = registry.claim(id).unwrap();
    assert_eq!(registry.delete(id), Some(Some(first)), "it is to be ended");
    assert_eq!(new.topics(), None);
    assert_eq!(new.take_over(ConnectionId::of_nobody(2)), None);
    drop((old, new));
    assert_eq!(registry.len(), 0);
}

#[test]
fn a_deleted_registration_stays_deleted_when_its_claim_ends() {
    let registry = registry(10);
    let id = register(&registry, Instant::now());
    let claim = registry.claim(id).unwrap();
    assert!(registry.delete(id).is_some());
    // The drop of the claim must not bring the registration back.
    drop(claim);
    assert_eq!(registry.len(), 0);
    assert!(registry.delete(id).is_none());
}

#[test]
fn a_registration_above_the_limit_is_refused() {
    let registry = registry(1);
    register(&registry, Instant::now());
    let refused = registry.register(UserId::from(1_u64), Topics::of_distinct([]), Instant::now());
    assert_eq!(refused.unwrap_err(), Full::Registrations);
}

#[test]
fn registrations_are_charged_and_refused_while_memory_is_short() {
    // The names of a list of 128 topics have 32 KiB. Memory is short from 48 KiB on, and so after
    // two lists.
    let budget = Budget::new(64 * 1024);
    let registry = Registry::new(LIFETIME, 100_000, Arc::clone(&budget));
    let topics = (0..128).map(|n| TopicName::new(&format!("{n:0255}")).unwrap());
    let topics = Topics::new(topics).unwrap();
    let now = Instant::now();
    let first = registry
        .register(UserId::from(1_u64), topics.clone(), now)
        .unwrap();
    assert!(budget.held() > 128 * 255);
    registry.register(UserId::from(1_u64), topics, now).unwrap();
    let refused = registry.register(UserId::from(1_u64), Topics::of_distinct([]), now);
    assert_eq!(refused.unwrap_err(), Full::Memory(ShortOfMemory));
    // This frees enough memory for another registration.
    registry.delete(first);
    assert!(
        registry
            .register(UserId::from(1_u64), Topics::of_distinct([]), now)
            .is_ok()
    );
}

/// A step of the test against a model. An index picks one of the claims that exist.
#[derive(Clone, Debug)]
enum Step {
    Claim,
    TakeOver(Index),
    SetTopics(Index),
    Drop(Index),
    Expire,
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<Index>;
    let step = prop_oneof![
        4 => Just(Step::Claim),
        4 => index().prop_map(Step::TakeOver),
        3 => index().prop_map(Step::SetTopics),
        3 => index().prop_map(Step::Drop),
        1 => Just(Step::Expire),
        1 => Just(Step::Delete),
    ];
    proptest::collection::vec(step, 0..40)
}

/// One registration as plainly as possible: connections and claims are numbers.
#[derive(Debug)]
struct Model {
    exists: bool,
    holder: Option<u32>,
    arriving: Option<u32>,
    topics: Topics,
}

proptest! {
    #[test]
    fn only_the_newest_connection_that_has_taken_over_holds_a_registration(steps in steps()) {
        let registry = registry(10);
        let id = register(&registry, Instant::now());
        let mut model = Model { exists: true, holder: None, arriving: None, topics: topics("cats") };
        // Each claim with its number, which its connection has, too.
        let mut claims: Vec<(u32, Claim)> = Vec::new();
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Claim => {
                    let expected = match model.arriving {
                        _ if !model.exists => Err(Unclaimable::Unknown),
                        Some(_) => Err(Unclaimable::Arriving),
                        None => Ok(()),
                    };
                    let claim = registry.claim(id);
                    prop_assert_eq!(claim.as_ref().map(drop).map_err(|&error| error), expected);
                    if let Ok(claim) = claim {
                        model.arriving = Some(number);
                        claims.push((number, claim));
                    }
                }
                Step::TakeOver(index) => {
                    let arriving = claims.iter_mut().filter(|(_, claim)| claim.connection.is_none());
                    let mut arriving: Vec<_> = arriving.collect();
                    if arriving.is_empty() {
                        continue;
                    }
                    let at = index.index(arriving.len());
                    let (number, claim) = &mut *arriving[at];
                    let taken_over = claim.take_over(ConnectionId::of_nobody(*number));
                    let expected = model.exists.then(|| TakenOver {
                        topics: model.topics.clone(),
                        previous: model.holder.map(ConnectionId::of_nobody),
                    });
                    prop_assert_eq!(taken_over, expected);
                    if model.exists {
                        prop_assert_eq!(model.arriving.take(), Some(*number));
                        model.holder = Some(*number);
                    }
                }
                Step::SetTopics(index) if !claims.is_empty() => {
                    let (of, claim) = &claims[index.index(claims.len())];
                    let new = topics(&number.to_string());
                    claim.set_topics(&new);
                    if model.holder == Some(*of) {
                        model.topics = new;
                    }
                }
                Step::Drop(index) if !claims.is_empty() => {
                    let (number, claim) = claims.swap_remove(index.index(claims.len()));
                    drop(claim);
                    model.holder.take_if(|holder| *holder == number);
                    model.arriving.take_if(|arriving| *arriving == number);
                }
                Step::Expire => {
                    registry.expire(Instant::now() + 2 * LIFETIME);
                    model.exists &= model.holder.is_some() || model.arriving.is_some();
                }
                Step::Delete => {
                    let holder = model.holder.take().map(ConnectionId::of_nobody);
                    prop_assert_eq!(registry.delete(id), model.exists.then_some(holder));
                    model.exists = false;
                }
                Step::SetTopics(_) | Step::Drop(_) => {}
            }
            prop_assert_eq!(registry.len(), usize::from(model.exists));
            for (_, claim) in &claims {
                prop_assert_eq!(claim.topics(), model.exists.then(|| model.topics.clone()));
            }
            let state = registry.lock();
            let waits = model.exists && model.holder.is_none() && model.arriving.is_none();
            prop_assert_eq!(state.expiries.len(), usize::from(waits));
        }
    }
}
