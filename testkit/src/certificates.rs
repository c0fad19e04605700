//! The keys of one control plane: they live as long as it does.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// All that a control plane shows and trusts, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) authority: String,
    /// Of the API server, for 127.0.0.1.
    pub(crate) server: Identity,
    /// A client that may do everything.
    pub(crate) admin: Identity,
    /// What tokens of ServiceAccounts are signed with.
    pub(crate) token_key: String,
    /// What shows that they were.
    pub(crate) token_public_key: String,
}

impl Certificates {
    pub(crate) fn make() -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new([])?;
        authority.distinguished_name.push(DnType::CommonName, "testkit");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
        let mut server = CertificateParams::new(names)?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];

        let mut admin = CertificateParams::new([])?;
        admin.distinguished_name.push(DnType::CommonName, "admin");
        admin
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];

        let tokens = KeyPair::generate()?;
        Ok(Self {
            server: signed(&server, &authority)?,
            admin: signed(&admin, &authority)?,
            authority: authority.pem(),
            token_key: tokens.serialize_pem(),
            token_public_key: tokens.public_key_pem(),
        })
    }
}

fn signed(
    params: &CertificateParams,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok(Identity {
        certificate: params.signed_by(&key, authority)?.pem(),
        key: key.serialize_pem(),
    })
}
