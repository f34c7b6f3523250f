//! The rules, one by one and against a model.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256, keccak256};
use proptest::prelude::*;

use super::Holdings;
use crate::decode::event::EventKind;
use crate::decode::layout::Layouts;
use crate::decode::registry::{Recognition, Registry};
use crate::pipeline::handler::{Effect, EventContext, Handler, HandlerError, StateView};
use crate::types::asset::{Doc, DocKey, Holding, Identity, Token, TokenStandard};
use crate::types::chain::{BlockRef, ChainId};
use crate::types::log::{LogBuf, LogFields};

const TOKEN: Address = Address::repeat_byte(0xaa);

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut layouts = Layouts::new().expect("built in");
    Registry::new(&mut layouts, &[]).expect("built in")
});

/// Runs logs through registry and handler the way the runner does.
#[derive(Default)]
struct World {
    view: StateView,
}

impl World {
    fn apply(&mut self, kind: EventKind, topics: &[B256], data: &[B256]) -> Vec<Effect> {
        let mut fields = LogFields { address: TOKEN, block_number: 7, ..Default::default() };
        let signature = kind.declaration();
        let types = signature_types(signature);
        fields.topics[0] = keccak256(types);
        fields.topics[1..=topics.len()].copy_from_slice(topics);
        fields.topic_count = u8::try_from(topics.len() + 1).expect("at most four");
        let mut buf = LogBuf::default();
        let payload: Vec<u8> = data.iter().flat_map(|word| word.0).collect();
        buf.push(&fields, &payload).expect("small");
        let log = buf.get(0).expect("one log");
        let Recognition::Event { event, kind: seen, .. } = REGISTRY.recognise(log) else {
            panic!("{signature} not recognised");
        };
        assert_eq!(seen, kind);
        let block =
            BlockRef { number: 7, hash: B256::ZERO, parent: B256::ZERO, timestamp: 1_700_000_000 };
        self.run(&EventContext { chain: ChainId(1), block: &block, log, event: &event })
    }

    fn run(&mut self, context: &EventContext<'_>) -> Vec<Effect> {
        let mut keys = Vec::new();
        Holdings.keys(context, &mut keys);
        for key in keys {
            if !self.view.knows(&key) {
                self.view.set(key, None);
            }
        }
        let mut effects = Vec::new();
        // `Missing` here means that `keys` forgot a document.
        Holdings.handle(context, &self.view, &mut effects).expect("keys named every document");
        for effect in &effects {
            match effect.clone() {
                Effect::Put(key, doc) => self.view.set(key, Some(doc)),
                Effect::Delete(key) => self.view.set(key, None),
            };
        }
        effects
    }

    fn transfer(&mut self, from: u8, to: u8, amount: u64) -> Vec<Effect> {
        self.apply(EventKind::Erc20Transfer, &[who(from), who(to)], &[num(amount)])
    }

    fn token(&self) -> Token {
        match self.view.get(DocKey::Token(TOKEN)) {
            Ok(Some(Doc::Token(token))) => token.clone(),
            other => panic!("no token: {other:?}"),
        }
    }

    fn holding(&self, holder: u8) -> Option<Holding> {
        let holder = Address::from_word(who(holder));
        match self.view.get(DocKey::Holding { token: TOKEN, holder }) {
            Ok(Some(Doc::Holding(holding))) => Some(*holding),
            _ => None,
        }
    }

    fn balance(&self, holder: u8) -> U256 {
        self.holding(holder).map_or(U256::ZERO, |holding| holding.balance)
    }

    fn identity(&self, wallet: u8) -> Option<Identity> {
        let wallet = Address::from_word(who(wallet));
        match self.view.get(DocKey::Identity { registry: TOKEN, wallet }) {
            Ok(Some(Doc::Identity(identity))) => Some(*identity),
            _ => None,
        }
    }
}

fn who(byte: u8) -> B256 {
    B256::left_padding_from(&[byte])
}

fn num(value: u64) -> B256 {
    B256::from(U256::from(value))
}

/// `Transfer(address,address,uint256)` out of the full signature.
fn signature_types(declaration: &str) -> String {
    let (name, rest) = declaration.split_once('(').expect("a signature");
    let types: Vec<&str> = rest
        .trim_end_matches(')')
        .split(',')
        .map(|part| part.split(' ').next().expect("a type"))
        .collect();
    format!("{name}({})", types.join(","))
}

#[test]
fn mint_move_and_burn_keep_supply_and_holders() {
    let mut world = World::default();
    world.transfer(0, 1, 100);
    world.transfer(1, 2, 40);
    assert_eq!((world.balance(1), world.balance(2)), (U256::from(60), U256::from(40)));
    assert_eq!(world.token().holders, 2);
    world.transfer(2, 0, 40);
    let token = world.token();
    assert_eq!((token.supply, token.holders, token.transfers), (U256::from(60), 1, 3));
    assert_eq!(token.standard, TokenStandard::Erc20);
    assert_eq!(token.first_block, 7);
    assert_eq!(world.holding(2), None, "an empty holding is no document");
}

#[test]
fn a_transfer_of_nothing_makes_no_holder() {
    let mut world = World::default();
    let effects = world.transfer(1, 2, 0);
    assert_eq!(effects.len(), 1, "the token alone: {effects:?}");
    assert_eq!(world.token().holders, 0);
}

#[test]
fn a_transfer_to_oneself_moves_nothing() {
    let mut world = World::default();
    world.transfer(0, 1, 5);
    world.transfer(1, 1, 5);
    assert_eq!((world.balance(1), world.token().holders), (U256::from(5), 1));
    assert_eq!(world.token().transfers, 2);
}

#[test]
fn a_history_that_begins_late_saturates_at_zero() {
    let mut world = World::default();
    world.transfer(1, 2, 10);
    assert_eq!((world.balance(1), world.balance(2)), (U256::ZERO, U256::from(10)));
    world.transfer(3, 0, 10);
    let token = world.token();
    assert_eq!((token.supply, token.holders), (U256::ZERO, 1));
}

#[test]
fn pieces_count_as_one_each_and_do_not_mix_with_units() {
    let mut world = World::default();
    world.apply(EventKind::Erc721Transfer, &[who(0), who(1), num(77)], &[]);
    world.apply(EventKind::Erc721Transfer, &[who(0), who(1), num(78)], &[]);
    assert!(world.transfer(0, 1, 1000).is_empty(), "a second kind of Transfer moves nothing");
    assert_eq!(world.balance(1), U256::from(2));
    assert_eq!(world.token().standard, TokenStandard::Erc721);
}

#[test]
fn freezes_add_up_and_come_off() {
    let mut world = World::default();
    world.transfer(0, 1, 100);
    world.apply(EventKind::TokensFrozen, &[who(1)], &[num(30)]);
    world.apply(EventKind::TokensFrozen, &[who(1)], &[num(30)]);
    world.apply(EventKind::TokensUnfrozen, &[who(1)], &[num(10)]);
    world.apply(EventKind::AddressFrozen, &[who(1), num(1), who(9)], &[]);
    let holding = world.holding(1).expect("holds");
    assert_eq!((holding.frozen, holding.account_frozen), (U256::from(50), true));
    assert_eq!(world.token().standard, TokenStandard::Erc3643);
    world.apply(EventKind::TokensUnfrozen, &[who(1)], &[num(80)]);
    world.apply(EventKind::AddressFrozen, &[who(1), num(0), who(9)], &[]);
    let holding = world.holding(1).expect("holds");
    assert_eq!((holding.frozen, holding.account_frozen), (U256::ZERO, false));
}

#[test]
fn pausing_concerns_known_tokens_only() {
    let mut world = World::default();
    assert!(world.apply(EventKind::Paused, &[], &[who(9)]).is_empty());
    world.transfer(0, 1, 1);
    world.apply(EventKind::Paused, &[], &[who(9)]);
    assert!(world.token().paused);
    world.apply(EventKind::Unpaused, &[], &[who(9)]);
    assert!(!world.token().paused);
}

#[test]
fn a_suite_shows_itself_by_registry_and_compliance() {
    let mut world = World::default();
    world.transfer(0, 1, 1);
    world.apply(EventKind::IdentityRegistryAdded, &[who(5)], &[]);
    world.apply(EventKind::ComplianceAdded, &[who(6)], &[]);
    let token = world.token();
    assert_eq!(token.standard, TokenStandard::Erc3643);
    assert_eq!(token.identity_registry, Some(Address::from_word(who(5))));
    assert_eq!(token.compliance, Some(Address::from_word(who(6))));
}

#[test]
fn identities_come_change_country_and_go() {
    let mut world = World::default();
    world.apply(EventKind::IdentityRegistered, &[who(1), who(2)], &[]);
    let identity = Address::from_word(who(2));
    assert_eq!(world.identity(1), Some(Identity { identity, country: None }));
    world.apply(EventKind::CountryUpdated, &[who(1), num(76)], &[]);
    assert_eq!(world.identity(1), Some(Identity { identity, country: Some(76) }));
    world.apply(EventKind::IdentityRemoved, &[who(1), who(2)], &[]);
    assert_eq!(world.identity(1), None);
}

#[test]
fn a_stated_frozen_amount_counts_for_more_than_the_differences() {
    let mut world = World::default();
    assert!(world.apply(EventKind::Frozen, &[who(1)], &[num(5)]).is_empty(), "not a token yet");
    world.transfer(0, 1, 100);
    world.apply(EventKind::TokensFrozen, &[who(1)], &[num(30)]);
    world.apply(EventKind::Frozen, &[who(1)], &[num(30)]);
    assert_eq!(world.holding(1).expect("holds").frozen, U256::from(30), "not counted twice");
    // The difference of a freeze that an index which starts late has not seen.
    world.apply(EventKind::TokensUnfrozen, &[who(1)], &[num(10)]);
    world.apply(EventKind::Frozen, &[who(1)], &[num(120)]);
    let holding = world.holding(1).expect("holds");
    assert_eq!((holding.balance, holding.frozen), (U256::from(100), U256::from(120)));
}

#[test]
fn a_recovery_moves_balance_and_freezes_to_the_other_wallet() {
    let mut world = World::default();
    world.transfer(0, 1, 100);
    world.apply(EventKind::TokensFrozen, &[who(1)], &[num(40)]);
    world.apply(EventKind::Frozen, &[who(1)], &[num(40)]);
    // As the token of our suite logs it.
    world.apply(EventKind::TokensUnfrozen, &[who(1)], &[num(40)]);
    world.apply(EventKind::Frozen, &[who(1)], &[num(0)]);
    world.transfer(1, 2, 100);
    world.apply(EventKind::TokensFrozen, &[who(2)], &[num(40)]);
    world.apply(EventKind::Frozen, &[who(2)], &[num(40)]);
    world.apply(EventKind::AddressFrozen, &[who(1), num(1), who(9)], &[]);
    let (lost, next) = (world.holding(1).expect("kept"), world.holding(2).expect("holds"));
    assert_eq!((lost.balance, lost.frozen, lost.account_frozen), (U256::ZERO, U256::ZERO, true));
    assert_eq!((next.balance, next.frozen), (U256::from(100), U256::from(40)));
    assert_eq!(world.token().holders, 1);
}

#[test]
fn a_registry_names_the_storage_of_its_wallets() {
    let mut world = World::default();
    world.apply(EventKind::IdentityStorageSet, &[who(8)], &[]);
    let key = DocKey::storage_of(TOKEN);
    let Ok(Some(Doc::Identity(entry))) = world.view.get(key) else { panic!("no entry") };
    assert_eq!(entry.identity, Address::from_word(who(8)));
}

#[test]
fn wallets_in_a_storage_change_identity_and_country_and_go() {
    let mut world = World::default();
    world.apply(EventKind::IdentityStored, &[who(1), who(2)], &[]);
    world.apply(EventKind::CountryModified, &[who(1), num(276)], &[]);
    world.apply(EventKind::WalletIdentityChanged, &[who(1), who(2), who(3)], &[]);
    let identity = Address::from_word(who(3));
    assert_eq!(world.identity(1), Some(Identity { identity, country: Some(276) }));
    world.apply(EventKind::IdentityUnstored, &[who(1), who(3)], &[]);
    assert_eq!(world.identity(1), None);
}

#[test]
fn a_missing_document_is_asked_for_before_any_effect() {
    let mut fields = LogFields { address: TOKEN, topic_count: 3, ..Default::default() };
    fields.topics = [keccak256("Transfer(address,address,uint256)"), who(1), who(2), B256::ZERO];
    let mut buf = LogBuf::default();
    buf.push(&fields, &num(1).0).expect("small");
    let log = buf.get(0).expect("one log");
    let event = crate::decode::event::RwaEvent::read(EventKind::Erc20Transfer, log).expect("fits");
    let block = BlockRef { number: 7, hash: B256::ZERO, parent: B256::ZERO, timestamp: 0 };
    let context = EventContext { chain: ChainId(1), block: &block, log, event: &event };
    let mut effects = Vec::new();
    let fault = Holdings.handle(&context, &StateView::default(), &mut effects);
    assert_eq!(fault, Err(HandlerError::Missing(DocKey::Token(TOKEN))));
    assert!(effects.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model that knows the whole history: balances, holders and supply agree.
    #[test]
    fn balances_sum_to_the_supply(moves in prop::collection::vec((0u8..6, 0u8..6, 0u64..50), 1..60)) {
        let mut world = World::default();
        let mut model: BTreeMap<u8, u64> = BTreeMap::new();
        let (mut supply, mut transfers) = (0u64, 0u64);
        for (from, to, wanted) in moves {
            // What a real token would allow.
            let amount = if from == 0 { wanted } else { wanted.min(model.get(&from).copied().unwrap_or(0)) };
            world.transfer(from, to, amount);
            transfers += 1;
            if from == to { continue; }
            if from == 0 { supply += amount } else { *model.entry(from).or_default() -= amount }
            if to == 0 { supply -= amount } else { *model.entry(to).or_default() += amount }
        }
        let token = world.token();
        let sum: U256 = (1..6).map(|holder| world.balance(holder)).sum();
        prop_assert_eq!(sum, token.supply);
        prop_assert_eq!(token.supply, U256::from(supply));
        prop_assert_eq!(token.transfers, transfers);
        prop_assert_eq!(token.holders, model.values().filter(|balance| **balance > 0).count() as u64);
        for holder in 1..6 {
            let expected = model.get(&holder).copied().unwrap_or(0);
            prop_assert_eq!(world.balance(holder), U256::from(expected));
            prop_assert_eq!(world.holding(holder).is_some(), expected > 0);
        }
    }

    /// No amounts, however wild, panic or wrap.
    #[test]
    fn wild_amounts_never_wrap(moves in prop::collection::vec((0u8..4, 0u8..4, any::<[u8; 32]>()), 1..40)) {
        let mut world = World::default();
        for (from, to, amount) in moves {
            world.apply(EventKind::Erc20Transfer, &[who(from), who(to)], &[B256::new(amount)]);
        }
        let held = (1..4).filter(|holder| !world.balance(*holder).is_zero()).count() as u64;
        prop_assert_eq!(world.token().holders, held);
    }
}
