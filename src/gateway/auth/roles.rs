//! Who may do what: roles give permissions, a grant gives a role within a scope.
//!
//! Pure tables. A role of people who can change others' rights cannot move assets, and one that asks
//! for a dangerous action cannot approve it.

use serde::{Deserialize, Serialize};

/// Declares an enum with its words, so that none is forgotten in a list.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant),* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable word of configuration, API and records.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The one with this word.
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

words! {
    /// What a caller may do. Routes name one; keys are limited to a list of them.
    Permission {
        ChainRead = "chain_read",
        ProfileRead = "profile_read",
        KeysOwn = "keys_own",
        UsersRead = "users_read",
        UsersWrite = "users_write",
        RolesGrant = "roles_grant",
        SessionsRevoke = "sessions_revoke",
        AuditRead = "audit_read",
        ProvidersRead = "providers_read",
        ProvidersWrite = "providers_write",
        ApprovalsRead = "approvals_read",
        ApprovalsDecide = "approvals_decide",
        Mint = "mint",
        Freeze = "freeze",
        ForceTransfer = "force_transfer",
        Pause = "pause",
    }
}

words! {
    /// Roles that ship; a person may hold several, each in its scope.
    Role {
        PlatformAdmin = "platform_admin",
        SecurityAdmin = "security_admin",
        IssuerManager = "issuer_manager",
        ComplianceOfficer = "compliance_officer",
        SupplyOperator = "supply_operator",
        Approver = "approver",
        Custodian = "custodian",
        Emergency = "emergency",
        Treasurer = "treasurer",
        Support = "support",
        Operator = "operator",
        Auditor = "auditor",
        Investor = "investor",
        ApiClient = "api_client",
    }
}

/// What everybody who signed in may do.
const OWN: &[Permission] = &[Permission::ChainRead, Permission::ProfileRead, Permission::KeysOwn];

impl Role {
    /// What the role adds to [`OWN`].
    fn adds(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Self::PlatformAdmin => &[
                P::UsersRead,
                P::UsersWrite,
                P::SessionsRevoke,
                P::RolesGrant,
                P::AuditRead,
                P::ProvidersRead,
                P::ProvidersWrite,
                P::ApprovalsRead,
            ],
            Self::SecurityAdmin => &[
                P::UsersRead,
                P::UsersWrite,
                P::RolesGrant,
                P::SessionsRevoke,
                P::AuditRead,
                P::ApprovalsRead,
            ],
            Self::IssuerManager => &[P::ApprovalsRead],
            Self::ComplianceOfficer => &[P::Freeze, P::ApprovalsRead],
            Self::SupplyOperator => &[P::Mint, P::ApprovalsRead],
            Self::Approver => &[P::ApprovalsRead, P::ApprovalsDecide],
            Self::Custodian => &[P::ForceTransfer, P::ApprovalsRead],
            Self::Emergency => &[P::Pause],
            Self::Treasurer => &[P::ApprovalsRead],
            Self::Support => &[P::UsersRead],
            Self::Operator => &[P::ProvidersRead, P::ProvidersWrite],
            Self::Auditor => &[P::UsersRead, P::AuditRead, P::ProvidersRead, P::ApprovalsRead],
            Self::Investor | Self::ApiClient => &[],
        }
    }

    /// Whether the role gives the permission.
    pub fn gives(self, permission: Permission) -> bool {
        OWN.contains(&permission) || self.adds().contains(&permission)
    }
}

/// Where a grant holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// Everywhere.
    Platform,
    /// Tokens of one issuer.
    Issuer(String),
    /// One token: `chain:address`, lower case.
    Token(String),
}

impl Scope {
    /// Whether a grant here reaches `target`.
    pub fn covers(&self, target: &Self) -> bool {
        matches!(self, Self::Platform) || self == target
    }
}

/// A role within a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub role: Role,
    pub scope: Scope,
}

/// Whether any of the grants gives the permission at the target.
pub fn allows(grants: &[Grant], permission: Permission, target: &Scope) -> bool {
    grants.iter().any(|grant| grant.scope.covers(target) && grant.role.gives(permission))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_records_hold() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
            assert_eq!(Role::of(role.word()), Some(*role));
        }
        for permission in Permission::ALL {
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.word());
        }
    }

    #[test]
    fn duties_are_kept_apart() {
        let moves = [Permission::Mint, Permission::Freeze, Permission::ForceTransfer];
        for role in Role::ALL {
            let asks = moves.iter().any(|permission| role.gives(*permission));
            assert!(!(asks && role.gives(Permission::ApprovalsDecide)), "{role:?} checks itself");
            assert!(!(asks && role.gives(Permission::RolesGrant)), "{role:?} makes its checker");
        }
        for permission in Permission::ALL {
            assert!(Role::ALL.iter().any(|role| role.gives(*permission)), "{permission:?}: nobody");
        }
    }

    #[test]
    fn a_grant_reaches_its_own_scope_only() {
        let token = Scope::Token("1:0x01".into());
        let grants = [Grant { role: Role::SupplyOperator, scope: token.clone() }];
        assert!(allows(&grants, Permission::Mint, &token));
        assert!(!allows(&grants, Permission::Mint, &Scope::Token("1:0x02".into())));
        assert!(!allows(&grants, Permission::Mint, &Scope::Platform));
        assert!(!allows(&grants, Permission::Freeze, &token));
        let everywhere = [Grant { role: Role::SupplyOperator, scope: Scope::Platform }];
        assert!(allows(&everywhere, Permission::Mint, &token));
    }
}
