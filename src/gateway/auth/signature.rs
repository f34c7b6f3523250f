//! Whether a signature over a text is an account's: a key's (secp256k1), a contract's (ERC-1271), or
//! that of a contract which is not deployed yet (ERC-6492).
//!
//! Keys are checked without asking anyone. Contracts are asked through the chain's own providers, with
//! a cap on the signature, on gas and on time, since both code and signature are the caller's.

use std::fmt;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, eip191_hash_message, keccak256};
use async_trait::async_trait;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

/// Longest signature looked at. A Safe's of ten owners has 650 bytes, its deployment about 1,000 more.
pub(in crate::gateway) const SIGNATURE_BYTES_MAX: usize = 4 * 1024;
/// Gas for one check: a Safe with ten owners takes 100,000, its deployment 300,000.
const GAS_MAX: u64 = 3_000_000;
/// For a provider to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// `isValidSignature(bytes32,bytes)`, which is also what a contract answers for yes.
const MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];
/// Ends a signature that brings its wallet's deployment along.
const ERC6492_SUFFIX: [u8; 32] =
    alloy_primitives::hex!("6492649264926492649264926492649264926492649264926492649264926492");
/// A signature of a key: r, s, v.
const KEY_SIGNATURE_BYTES: usize = 65;

/// Read-only calls to contracts of a chain.
#[async_trait]
pub trait ContractCalls: fmt::Debug + Send + Sync {
    /// Whether the chain is served here.
    fn serves(&self, chain: u64) -> bool;
    /// What `eth_call` at the newest block returns; without `to`, `data` is run as a deployment.
    async fn call(
        &self,
        chain: u64,
        to: Option<Address>,
        data: &Bytes,
        gas: u64,
    ) -> Result<Bytes, CallFailed>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailed {
    /// The contract said no, or is none.
    #[error("the call was reverted")]
    Reverted,
    /// No provider answered; another try may succeed.
    #[error("no provider of the chain answered")]
    Unavailable,
}

/// Whose signature it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Signer {
    Key,
    /// Owners and code may change, so it is worth asking again.
    Contract,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signature is not the account's")]
    Wrong,
    #[error("the signature is longer than {SIGNATURE_BYTES_MAX} bytes or malformed")]
    Malformed,
    #[error("chain {0} is not served here, and only its nodes can check a contract's signature")]
    ChainUnknown(u64),
    #[error("no node could be asked whether the signature is the contract's; try again")]
    Unavailable,
}

/// Checks `signature` of `account` over `text` on `chain`.
pub(in crate::gateway) async fn verify(
    calls: &dyn ContractCalls,
    chain: u64,
    account: Address,
    text: &str,
    signature: &[u8],
) -> Result<Signer, SignatureError> {
    verify_hash(calls, chain, account, eip191_hash_message(text), signature).await
}

/// The same over a hash, such as that of EIP-712 data.
pub(in crate::gateway) async fn verify_hash(
    calls: &dyn ContractCalls,
    chain: u64,
    account: Address,
    hash: B256,
    signature: &[u8],
) -> Result<Signer, SignatureError> {
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(SignatureError::Malformed);
    }
    if let Some(wrapped) = signature.strip_suffix(&ERC6492_SUFFIX) {
        let counterfactual = Counterfactual::read(wrapped).ok_or(SignatureError::Malformed)?;
        let program = counterfactual.program(account, hash);
        return ask(calls, chain, None, &program).await;
    }
    if recover(hash, signature) == Some(account) {
        return Ok(Signer::Key);
    }
    let question = Bytes::from(question(hash, signature));
    ask(calls, chain, Some(account), &question).await
}

async fn ask(
    calls: &dyn ContractCalls,
    chain: u64,
    to: Option<Address>,
    data: &Bytes,
) -> Result<Signer, SignatureError> {
    if !calls.serves(chain) {
        return Err(SignatureError::ChainUnknown(chain));
    }
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, calls.call(chain, to, data, GAS_MAX)).await;
    match answer {
        Ok(Ok(bytes)) if bytes.len() == 32 && bytes.starts_with(&MAGIC) => Ok(Signer::Contract),
        Ok(Ok(_) | Err(CallFailed::Reverted)) => Err(SignatureError::Wrong),
        Ok(Err(CallFailed::Unavailable)) | Err(_) => Err(SignatureError::Unavailable),
    }
}

/// The key behind a 65-byte signature; high-s twins are refused, as a second form of the same.
pub(in crate::gateway) fn recover(hash: B256, signature: &[u8]) -> Option<Address> {
    let (rs, v) = signature.split_at_checked(KEY_SIGNATURE_BYTES - 1)?;
    let [v] = v else { return None };
    let parity = match v {
        0 | 27 => 0,
        1 | 28 => 1,
        _ => return None,
    };
    let signature = Signature::from_slice(rs).ok()?;
    if signature.normalize_s().is_some() {
        return None;
    }
    let id = RecoveryId::from_byte(parity)?;
    let key = VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, id).ok()?;
    let point = key.to_encoded_point(false);
    Some(Address::from_slice(keccak256(point.as_bytes().get(1..)?).get(12..)?))
}

/// `isValidSignature(hash, signature)` as call data.
fn question(hash: B256, signature: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(4 + 32 * 3 + signature.len() + 31);
    data.extend_from_slice(&MAGIC);
    data.extend_from_slice(hash.as_slice());
    data.extend_from_slice(&word(64));
    data.extend_from_slice(&word(signature.len()));
    data.extend_from_slice(signature);
    data.resize(4 + 32 * 3 + signature.len().next_multiple_of(32), 0);
    data
}

fn word(number: usize) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&(number as u64).to_be_bytes());
    word
}

/// `abi.encode(address factory, bytes factoryCalldata, bytes signature)`.
#[derive(Debug, PartialEq, Eq)]
struct Counterfactual<'a> {
    factory: Address,
    deployment: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Counterfactual<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let number = |at: usize| -> Option<usize> {
            let (high, low) = data.get(at..at.checked_add(32)?)?.split_at_checked(24)?;
            let low: [u8; 8] = low.try_into().ok()?;
            high.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(low).try_into().ok())?
        };
        let bytes = |place: usize| -> Option<&'a [u8]> {
            let start = number(place)?;
            let length = number(start)?;
            let from = start.checked_add(32)?;
            data.get(from..from.checked_add(length)?)
        };
        let (zeros, factory) = data.get(..32)?.split_at_checked(12)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        Some(Self {
            factory: Address::from_slice(factory),
            deployment: bytes(32)?,
            signature: bytes(64)?,
        })
    }

    /// A program that, run as a deployment in `eth_call`, lets the factory deploy the wallet and
    /// returns what the wallet then says; a word of zeros when it says nothing. Nothing of it stays.
    fn program(&self, account: Address, hash: B256) -> Bytes {
        let asked = question(hash, self.signature);
        let code_bytes = assemble(self, account, &asked, 0).len();
        let mut program = assemble(self, account, &asked, code_bytes);
        program.extend_from_slice(self.deployment);
        program.extend_from_slice(&asked);
        Bytes::from(program)
    }
}

/// Lengths and places do not change the code's own size: all are pushed as four bytes.
fn assemble(of: &Counterfactual<'_>, account: Address, asked: &[u8], code_bytes: usize) -> Vec<u8> {
    const POP: u8 = 0x50;
    const MLOAD: u8 = 0x51;
    const MSTORE: u8 = 0x52;
    const GAS: u8 = 0x5a;
    const CALL: u8 = 0xf1;
    const STATICCALL: u8 = 0xfa;
    const RETURN: u8 = 0xf3;
    const CODECOPY: u8 = 0x39;
    const RETURNDATASIZE: u8 = 0x3d;
    const LT: u8 = 0x10;
    const AND: u8 = 0x16;
    const MUL: u8 = 0x02;
    let mut code = Vec::with_capacity(160);
    let push = |code: &mut Vec<u8>, number: usize| {
        code.push(0x63);
        code.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    };
    let push_address = |code: &mut Vec<u8>, address: Address| {
        code.push(0x73);
        code.extend_from_slice(address.as_slice());
    };
    let (deploy, ask) = (of.deployment.len(), asked.len());
    // Behind everything that is copied in, so that an answer shorter than a word leaves zeros there
    // and not the question, which begins with the very word that means yes.
    let answer_at = deploy.max(ask).next_multiple_of(32) + 32;
    // The factory's call; a wallet that is deployed already makes it fail, which does no harm.
    for number in [deploy, code_bytes, 0] {
        push(&mut code, number);
    }
    code.push(CODECOPY);
    for number in [0, 0, deploy, 0, 0] {
        push(&mut code, number);
    }
    push_address(&mut code, of.factory);
    code.extend_from_slice(&[GAS, CALL, POP]);
    // The wallet's answer.
    for number in [ask, code_bytes + deploy, 0] {
        push(&mut code, number);
    }
    code.push(CODECOPY);
    for number in [32, answer_at, ask, 0] {
        push(&mut code, number);
    }
    push_address(&mut code, account);
    code.extend_from_slice(&[GAS, STATICCALL, RETURNDATASIZE]);
    push(&mut code, 31);
    code.extend_from_slice(&[LT, AND]);
    push(&mut code, answer_at);
    code.extend_from_slice(&[MLOAD, MUL]);
    push(&mut code, 0);
    code.push(MSTORE);
    push(&mut code, 32);
    push(&mut code, 0);
    code.push(RETURN);
    code
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::SigningKey;

    use super::*;

    /// Answers every call with the same, and remembers what was asked.
    #[derive(Debug)]
    struct Says(Result<Bytes, CallFailed>);

    #[async_trait]
    impl ContractCalls for Says {
        fn serves(&self, chain: u64) -> bool {
            chain == 1
        }

        async fn call(
            &self,
            _: u64,
            _: Option<Address>,
            _: &Bytes,
            gas: u64,
        ) -> Result<Bytes, CallFailed> {
            assert!(gas <= GAS_MAX);
            self.0.clone()
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    fn address_of(key: &SigningKey) -> Address {
        let point = key.verifying_key().to_encoded_point(false);
        Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
    }

    fn sign(text: &str) -> Vec<u8> {
        let hash = eip191_hash_message(text);
        let (signature, id) = key().sign_prehash_recoverable(hash.as_slice()).unwrap();
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + id.to_byte());
        bytes
    }

    fn magic() -> Bytes {
        let mut word = [0; 32];
        word[..4].copy_from_slice(&MAGIC);
        Bytes::from(word)
    }

    #[tokio::test]
    async fn a_keys_signature_needs_no_node_and_another_text_or_account_is_refused() {
        let nobody = Says(Err(CallFailed::Reverted));
        let (account, good) = (address_of(&key()), sign("hello"));
        assert_eq!(verify(&nobody, 9, account, "hello", &good).await, Ok(Signer::Key));
        let mut low_v = good.clone();
        low_v[64] -= 27;
        assert_eq!(verify(&nobody, 9, account, "hello", &low_v).await, Ok(Signer::Key));
        let wrong = Err(SignatureError::Wrong);
        assert_eq!(verify(&nobody, 1, account, "hullo", &good).await, wrong);
        assert_eq!(verify(&nobody, 1, Address::repeat_byte(1), "hello", &good).await, wrong);
        let mut high_s = good.clone();
        let s = k256::U256::from_be_slice(&good[32..64]);
        let n = k256::U256::from_be_hex(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        );
        use k256::elliptic_curve::bigint::Encoding as _;
        high_s[32..64].copy_from_slice(&n.wrapping_sub(&s).to_be_bytes());
        high_s[64] = 27 + 28 - high_s[64];
        assert_eq!(verify(&nobody, 1, account, "hello", &high_s).await, wrong, "malleable");
        for bad in [&good[..64], &[][..], &[0; 65][..]] {
            assert_eq!(verify(&nobody, 1, account, "hello", bad).await, wrong);
        }
    }

    #[tokio::test]
    async fn a_contract_says_yes_with_exactly_one_word() {
        let account = Address::repeat_byte(2);
        let ask = async |answer: Result<Bytes, CallFailed>| {
            verify(&Says(answer), 1, account, "hello", &[1, 2, 3]).await
        };
        assert_eq!(ask(Ok(magic())).await, Ok(Signer::Contract));
        let wrong = Err(SignatureError::Wrong);
        assert_eq!(ask(Ok(Bytes::new())).await, wrong, "no code answers with nothing");
        assert_eq!(ask(Ok(Bytes::from(vec![0; 32]))).await, wrong);
        assert_eq!(ask(Ok(Bytes::from(MAGIC.to_vec()))).await, wrong);
        assert_eq!(ask(Err(CallFailed::Reverted)).await, wrong);
        assert_eq!(ask(Err(CallFailed::Unavailable)).await, Err(SignatureError::Unavailable));
        let yes = Says(Ok(magic()));
        let elsewhere = verify(&yes, 5, account, "hello", &[1]).await;
        assert_eq!(elsewhere, Err(SignatureError::ChainUnknown(5)));
        let long = vec![1; SIGNATURE_BYTES_MAX + 1];
        let refused = verify(&yes, 1, account, "hello", &long).await;
        assert_eq!(refused, Err(SignatureError::Malformed));
    }

    #[tokio::test]
    async fn a_wrapped_signature_that_lies_about_its_lengths_is_malformed() {
        let yes = Says(Ok(magic()));
        for length in [0, 31, 96, 200] {
            let mut signature = vec![0xff; length];
            signature.extend_from_slice(&ERC6492_SUFFIX);
            let refused = verify(&yes, 1, Address::ZERO, "hello", &signature).await;
            assert_eq!(refused, Err(SignatureError::Malformed), "{length}");
        }
    }
}
