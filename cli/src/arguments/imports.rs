//! From where models are imported that were made elsewhere. No flag holds a credential: one names the file that does.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use importer::{Importer, Limits, Source, Sources};
use planner::finding::Disposition;
use planner::training::Address;
use trainer::{Fetched, Unmet, Wanted};

use crate::failure::{Context as _, Failure};

/// What a process needs of the environment to reach other machines.
const OF_NETWORK: [&str; 8] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Flags for models that were made elsewhere.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Models made elsewhere")]
pub(crate) struct ImportArguments {
    /// The beginning of addresses that models may be imported from, https://HOST/…, hf://OWNER, s3://BUCKET/…, gs://BUCKET/…,
    /// az://ACCOUNT/…, mlflow://HOST or oci://HOST/…, and the file with the credential for it (docs/importing.md); may be given
    /// several times [default: none, files of the commit alone]
    #[arg(
        long = "import-source",
        env = "AURORA_IMPORT_SOURCE",
        value_name = "PREFIX[=FILE]",
        value_delimiter = ' '
    )]
    sources: Vec<String>,

    /// The certificates of authorities, in PEM, that are trusted beside the system's where models are imported from
    #[arg(long, env = "AURORA_IMPORT_CA_FILE", value_name = "FILE")]
    import_ca_file: Option<PathBuf>,
}

impl ImportArguments {
    /// Returns what fetches from where it may.
    pub(crate) fn fetcher(&self) -> Result<impl Fn(&Address, Wanted<'_>) -> Fetched, Failure> {
        let settings = web::Settings {
            ca_file: self.import_ca_file.clone(),
            proxies: web::Proxies::from_environment(),
        };
        let importer = Importer::new(self.sources()?, settings, Limits::default());
        let importer = importer.context(|| "cannot use --import-ca-file".to_owned())?;
        Ok(move |address: &Address, wanted: Wanted<'_>| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Unmet {
                disposition: Disposition::Transient,
                message: format!("nothing can be asked here: {error}"),
            })?;
            let fetched = runtime.block_on(async {
                match wanted {
                    Wanted::File(digest) => importer.fetch(address, None, digest).await,
                    Wanted::Beside(name, digest) => importer.fetch(address, Some(name), digest).await,
                    Wanted::Within(bytes_max) => importer.fetch_within(bytes_max, address).await,
                }
            });
            fetched.map_err(|error| Unmet {
                disposition: error.disposition(),
                message: error.to_string(),
            })
        })
    }

    /// Refuses what cannot be used, before anything depends on it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.fetcher().map(drop)
    }

    /// Returns the flags that let another process of this binary import from the same places.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let sources = self
            .named()
            .flat_map(|source| ["--import-source".into(), source.into()]);
        let trusted = self.import_ca_file.iter();
        let trusted = trusted.flat_map(|file| ["--import-ca-file".into(), file.clone().into()]);
        sources.chain(trusted).collect()
    }

    /// Returns the variables that such a process needs; none where it imports from nowhere.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let names = OF_NETWORK.iter().filter(|_name| self.named().next().is_some());
        names.filter_map(|name| Some((*name, env::var_os(name)?)))
    }

    fn named(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().filter(|source| !source.is_empty())
    }

    fn sources(&self) -> Result<Sources, Failure> {
        let sources = (1..).zip(self.named()).map(|(at, text)| {
            let source = text.parse::<Source>();
            source.context(|| format!("cannot use --import-source, number {at}"))
        });
        Ok(Sources::new(sources.collect::<Result<_, _>>()?))
    }
}
