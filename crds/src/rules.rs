//! The rules that a type and its limits cannot say, most of them over more than one field: CEL, evaluated by the API
//! server and, on the same text, by [`crate::parse`].
//!
//! A rule stands here once, with the hint that only a person at a file needs.

use kube::core::cel::Rule;

use crate::convert::Problem;

/// One rule of a spec.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrossRule {
    /// The CEL expression, `self` being the struct that carries the rule. True where the manifest is in order.
    pub(crate) cel: &'static str,
    /// What is wrong where it is false: a lower-case fragment.
    pub(crate) message: &'static str,
    /// The field that is at fault, from the struct that carries the rule, e.g. `.canary.version`; empty for the struct.
    pub(crate) field: &'static str,
    /// What to do about it.
    pub(crate) hint: &'static str,
}

impl CrossRule {
    /// Returns the rule as the schema carries it.
    pub(crate) fn rule(&self) -> Rule {
        let rule = Rule::new(self.cel).message(self.message);
        if self.field.is_empty() {
            rule
        } else {
            rule.field_path(self.field)
        }
    }

    /// Returns what is wrong where the rule is false, `at` being the path of the struct that carries it.
    pub(crate) fn problem(&self, at: &str) -> Problem {
        Problem::new(format!("{at}{}", self.field), self.message, self.hint)
    }
}

/// Returns the hint of the rule with this CEL text.
pub(crate) fn hint(cel: &str) -> &'static str {
    ALL.iter()
        .find(|rule| rule.cel == cel)
        .map_or("", |rule| rule.hint)
}

/// Returns the field without which a rule is true whatever else there is: that of `!has(self.FIELD) || …`.
pub(crate) fn only_with(cel: &str) -> Option<&str> {
    let (field, rest) = cel.strip_prefix("!has(self.")?.split_once(") || ")?;
    // Only `? :` binds more loosely than `||`.
    let is_plain = field.chars().all(|c| c.is_ascii_alphanumeric()) && !rest.contains('?');
    is_plain.then_some(field)
}

macro_rules! rules {
    ($($name:ident { cel: $cel:literal, field: $field:literal, message: $message:literal, hint: $hint:literal $(,)? })*) => {
        $(pub(crate) const $name: CrossRule =
            CrossRule { cel: $cel, message: $message, field: $field, hint: $hint };)*

        /// All rules.
        pub(crate) const ALL: &[CrossRule] = &[$($name),*];
    };
}

rules! {
    CANARY_VERSION {
        cel: "!has(self.canary) || self.canary.version != self.stable.version",
        field: ".canary.version",
        message: "the canary pins the version that stable pins",
        hint: "pin another version as canary, or remove `canary`",
    }
    CANARY_DIGEST {
        cel: "!has(self.canary) || !has(self.canary.digest) || !has(self.stable.digest) || self.canary.digest != self.stable.digest",
        field: ".canary.digest",
        message: "the canary pins the digest that stable pins",
        hint: "one of the two digests is wrong: `aurora model list` shows each version's",
    }
    WEIGHT_WITHOUT_ROUTE {
        cel: "!has(self.route) || self.route.provider != 'None' || !has(self.canary) || self.canary.weight == 0",
        field: ".canary.weight",
        message: "with provider None nothing gives the canary a share of the traffic",
        hint: "write `weight: 0`, or another provider",
    }
    REJECTED_STABLE {
        cel: "!has(self.rejected) || !(self.stable.version in self.rejected)",
        field: ".stable.version",
        message: "`rejected` names the version that stable pins",
        hint: "pin another version; one that is to come back is first taken out of `rejected`",
    }
    REJECTED_CANARY {
        cel: "!has(self.rejected) || !has(self.canary) || !(self.canary.version in self.rejected)",
        field: ".canary.version",
        message: "`rejected` names the version that the canary pins",
        hint: "pin another version; one that is to come back is first taken out of `rejected`",
    }
    URL_OF_RECEIVER {
        cel: "(self.type == 'Webhook') == has(self.url)",
        field: ".url",
        message: "a webhook needs `url`, and Slack takes none",
        hint: "write the receiver's address as `url`; Slack's is a secret: put it into the file that `secretFile` names",
    }
    REPLICAS_IN_ORDER {
        cel: "self.minReplicas <= self.maxReplicas",
        field: ".maxReplicas",
        message: "`maxReplicas` is below `minReplicas`",
        hint: "write a `maxReplicas` that is no less than `minReplicas`",
    }
    PATH_OF_ROUTE {
        cel: "!has(self.path) || self.provider in ['GatewayApi', 'IngressNginx']",
        field: ".path",
        message: "the provider takes no path",
        hint: "remove `path`: only GatewayApi and IngressNginx route by it",
    }
    HOST_OF_ROUTE {
        cel: "!has(self.host) || self.provider in ['GatewayApi', 'IngressNginx']",
        field: ".host",
        message: "the provider takes no host",
        hint: "remove `host`: only GatewayApi and IngressNginx route by it",
    }
    GATEWAY_OF_ROUTE {
        cel: "!has(self.gateway) || self.provider == 'GatewayApi'",
        field: ".gateway",
        message: "the provider has no Gateway",
        hint: "remove `gateway`, or write `provider: GatewayApi`",
    }
    CLASS_OF_ROUTE {
        cel: "!has(self.ingressClassName) || self.provider == 'IngressNginx'",
        field: ".ingressClassName",
        message: "the provider makes no Ingress",
        hint: "remove `ingressClassName`, or write `provider: IngressNginx`",
    }
    SECRET_OF_ROUTE {
        cel: "!has(self.tlsSecret) || self.provider == 'IngressNginx'",
        field: ".tlsSecret",
        message: "the provider ends no TLS by itself",
        hint: "remove `tlsSecret`: a Gateway's listener has its own certificate",
    }
    SECRET_OF_HOST {
        cel: "!has(self.tlsSecret) || has(self.host)",
        field: ".tlsSecret",
        message: "a certificate is one of a host",
        hint: "add `host:` with the name that the certificate is for",
    }
    GRPC_OF_ROUTE {
        cel: "!has(self.grpc) || self.provider != 'IngressNginx'",
        field: ".grpc",
        message: "the provider passes no gRPC on",
        hint: "remove `grpc`, or write `provider: GatewayApi` or `provider: Aurora`",
    }
    HOST_OF_GRPC {
        cel: "!has(self.grpc) || !has(self.grpc.host) || self.provider == 'GatewayApi'",
        field: ".grpc.host",
        message: "the provider takes no host",
        hint: "remove `host`: only GatewayApi routes gRPC by it",
    }
    GATEWAY_OF_GRPC {
        cel: "!has(self.grpc) || !has(self.grpc.gateway) || self.provider == 'GatewayApi'",
        field: ".grpc.gateway",
        message: "the provider has no Gateway",
        hint: "remove `gateway`, or write `provider: GatewayApi`",
    }
    LISTENER_OF_GRPC {
        cel: "!has(self.grpc) || self.provider != 'GatewayApi' || has(self.grpc.gateway) || (has(self.host) && has(self.grpc.host) && self.host != self.grpc.host && !(self.host.startsWith('*.') && self.grpc.host.endsWith(self.host.substring(1))) && !(self.grpc.host.startsWith('*.') && self.host.endsWith(self.grpc.host.substring(1))))",
        field: ".grpc",
        message: "a Gateway's listener takes no HTTPRoute and GRPCRoute for the same host",
        hint: "give both a host of their own (`host` and `grpc.host`), or name another listener as `grpc.gateway`",
    }
    LABELS_OF_AURORA {
        cel: "!has(self.labels) || !self.labels.exists(name, name in ['app', 'track'] || name.startsWith('app.kubernetes.io/') || name.startsWith('aurora.io/'))",
        field: ".labels",
        message: "app, track, app.kubernetes.io/… and aurora.io/… are labels that Aurora writes",
        hint: "give the label another name",
    }
    LABEL_NAMES {
        cel: "!has(self.labels) || self.labels.all(name, name.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        field: ".labels",
        message: "a label is named by at most 63 letters, digits, '-', '_' and '.', if need be after a domain and '/'",
        hint: "rename the label, e.g. `team` or `example.org/team`",
    }
    NODE_LABEL_NAMES {
        cel: "!has(self.nodeSelector) || self.nodeSelector.all(name, name.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        field: ".nodeSelector",
        message: "a label is named by at most 63 letters, digits, '-', '_' and '.', if need be after a domain and '/'",
        hint: "`kubectl get nodes --show-labels` shows the labels of nodes",
    }
    VARIABLES_OF_AURORA {
        cel: "!has(self.env) || !self.env.exists(variable, variable.name.startsWith('AURORA_'))",
        field: ".env",
        message: "AURORA_… are variables that Aurora writes",
        hint: "give the variable another name",
    }
    REQUESTED_RESOURCES {
        cel: "!has(self.requests) || self.requests.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.matches('^[a-z0-9][-a-z0-9.]{0,251}/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        field: ".requests",
        message: "a resource is cpu, memory, ephemeral-storage, or a device as DOMAIN/NAME",
        hint: "write e.g. `{ cpu: 500m, memory: 512Mi }` or `{ nvidia.com/gpu: \"1\" }`",
    }
    LIMITED_RESOURCES {
        cel: "!has(self.limits) || self.limits.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.matches('^[a-z0-9][-a-z0-9.]{0,251}/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        field: ".limits",
        message: "a resource is cpu, memory, ephemeral-storage, or a device as DOMAIN/NAME",
        hint: "write e.g. `{ memory: 1Gi }`",
    }
    TOLERATION_OF_ALL {
        cel: "has(self.key) || self.operator == 'Exists'",
        field: ".key",
        message: "without a key, every taint is tolerated: that has the operator Exists",
        hint: "add `key:`, or write `operator: Exists`",
    }
    TOLERATION_VALUE {
        cel: "!has(self.value) || self.operator == 'Equal'",
        field: ".value",
        message: "the operator Exists compares no value",
        hint: "remove `value`, or write `operator: Equal`",
    }
    TOLERATION_SECONDS {
        cel: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        field: ".tolerationSeconds",
        message: "only the effect NoExecute is tolerated for a time",
        hint: "remove `tolerationSeconds`, or write `effect: NoExecute`",
    }
    NAMESPACE_OF_ONE_PROCESS {
        cel: "!has(self.__namespace__) || self.target == 'Kubernetes'",
        field: ".namespace",
        message: "only a cluster has namespaces",
        hint: "remove `namespace`, or write `target: Kubernetes`",
    }
    NAMESPACE_OF_CLUSTER {
        cel: "self.target != 'Kubernetes' || has(self.__namespace__)",
        field: "",
        message: "`namespace` is missing: in a cluster, an environment is a namespace",
        hint: "add `namespace:` with the name of the one that is installed for it",
    }
    DRIFT_OF_ONE_PROCESS {
        cel: "!has(self.drift) || self.target == 'Kubernetes' || self.drift == 'Correct'",
        field: ".drift",
        message: "one process makes again what Git says whatever was changed",
        hint: "remove `drift`",
    }
    REGISTRY_OF_CLUSTER {
        cel: "!has(self.registry) || self.target != 'Kubernetes' || !has(self.registry.path) || self.registry.path.startsWith('/')",
        field: ".registry.path",
        message: "in a cluster there is no data directory that a path could begin at",
        hint: "write the absolute path of the mounted volume, or remove it for /shared-models",
    }
    KEY_OF_UPSTREAM {
        cel: "!has(self.keyFile) || has(self.upstream)",
        field: ".keyFile",
        message: "a key is one for a control plane",
        hint: "add `upstream:` with the control plane's URL, or remove `keyFile`",
    }
    KEY_OF_STATUS {
        cel: "!has(self.keyFile) || has(self.status)",
        field: ".keyFile",
        message: "a key is one for a control plane",
        hint: "add `status:` with the control plane's URL, or remove `keyFile`",
    }
    ONE_FIT {
        cel: "(has(self.algorithm) ? 1 : 0) + (has(self.container) ? 1 : 0) + (has(self.command) && size(self.command) > 0 ? 1 : 0) + (has(self.__import__) ? 1 : 0) == 1",
        field: "",
        message: "a job has exactly one of `algorithm`, `command`, `container` and `import`",
        hint: "add `algorithm:` with one of linear_regression, gradient_boosting, logistic_regression; or `import:` with the file of a model that was made elsewhere; or `command:` with a program of your own, in a cluster `container:` with the image of one",
    }
    FILES_OF_COMMAND {
        cel: "!has(self.files) || size(self.files) == 0 || (has(self.command) && size(self.command) > 0)",
        field: ".files",
        message: "files are those of a `command`",
        hint: "remove `files`, or add `command:` with the program that they are made for",
    }
    ENGINE_OF_FIT {
        cel: "!has(self.engine) || self.engine == 'Aurora' || !has(self.algorithm)",
        field: ".engine",
        message: "what Aurora fits, its own engine evaluates",
        hint: "remove `engine`: it is for models that were made elsewhere, by `import`, `command` or `container`",
    }
    PARTS_OF_FILES {
        cel: "!has(self.files) || self.files.all(file, !('/' + file + '/').contains('//') && !('/' + file + '/').contains('/./') && !('/' + file + '/').contains('/../') && !file.startsWith('@sha256:') && (!file.contains('@sha256:') || file.matches('@sha256:[0-9a-f]{64}$')))",
        field: ".files",
        message: "a file of a command is a relative path without empty, '.' and '..' parts",
        hint: "commit the file in the manifest's folder or below it",
    }
    ROWS_OF_FIT {
        cel: "has(self.dataset) || has(self.__import__)",
        field: "",
        message: "`dataset` is missing: without rows nothing is fitted",
        hint: "add `dataset:` with the rows, and `evaluation:` with what the result must reach",
    }
    EVALUATION_OF_ROWS {
        cel: "has(self.dataset) == has(self.evaluation) || (!has(self.dataset) && !has(self.__import__))",
        field: "",
        message: "`dataset` and `evaluation` come together: what is measured is measured on rows that are held out",
        hint: "add the one that is missing; an import may also do without both, and is then not evaluated",
    }
    FEATURES_OF_IMPORT {
        cel: "!has(self.__import__) || !has(self.__import__.features) || size(self.__import__.features) == 0 || !has(self.dataset)",
        field: ".import.features",
        message: "the dataset says which columns are the inputs",
        hint: "write them as `dataset.features`, or remove them: then they are the dataset's other columns in their order",
    }
    ONE_ANSWER {
        cel: "has(self.prediction) != has(self.label)",
        field: "",
        message: "a model answers with a `prediction` or with a `label`",
        hint: "name one output: `prediction` where it predicts numbers, `label` where it predicts classes",
    }
    PROBABILITIES_OF_LABEL {
        cel: "!has(self.probabilities) || has(self.label)",
        field: ".probabilities",
        message: "probabilities are those of classes",
        hint: "add `label:` with the output that names the class, or remove `probabilities`",
    }
    SCHEDULE_OF_IMPORT {
        cel: "!has(self.__import__) || !has(self.schedule)",
        field: ".schedule",
        message: "an import has no schedule: what is imported changes with its digest alone",
        hint: "remove `schedule`",
    }
    SEED_OF_IMPORT {
        cel: "!has(self.__import__) || !has(self.seed) || self.seed == 0",
        field: ".seed",
        message: "an import has no seed: nothing is fitted",
        hint: "remove `seed`",
    }
    SETTINGS_OF_IMPORT {
        cel: "!has(self.__import__) || !has(self.hyperparameters) || size(self.hyperparameters) == 0",
        field: ".hyperparameters",
        message: "an import has no hyperparameters: nothing is fitted",
        hint: "remove `hyperparameters`",
    }
    IMPORT_PARTS {
        cel: "self.uri.contains(':') || !((self.uri + '/').contains('//') || ('/' + self.uri + '/').contains('/./') || ('/' + self.uri + '/').contains('/../'))",
        field: ".uri",
        message: "a path has no empty, '.' or '..' part",
        hint: "commit the model in the manifest's folder or below it",
    }
    IMPORT_KIND {
        cel: "!self.uri.startsWith('/') && (!self.uri.contains(':') || self.uri.matches('^(https?|hf|s3|gs|az|mlflow([+]http)?|oci([+]http)?)://'))",
        field: ".uri",
        message: "a model is imported from a file of the commit, from https://, hf://, s3://, gs://, az://, mlflow:// or oci://",
        hint: "commit the file beside the manifest, and write its path from there; or write an address that aurora may import from (--import-source)",
    }
    IMPORT_ADDRESS {
        cel: "!self.uri.matches('^(https?|hf|s3|gs|az|mlflow([+]http)?|oci([+]http)?)://') || self.uri.matches('^https?://[A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]{1,5})?(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$|^hf://([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*@[0-9a-f]{40}(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$|^(s3|gs)://[a-z0-9][-a-z0-9._]*(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$|^az://[a-z0-9]+/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$|^mlflow([+]http)?://[A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]{1,5})?/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*/[0-9]+$|^oci([+]http)?://[A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]{1,5})?(/[a-z0-9][-a-z0-9._]*)+$')",
        field: ".uri",
        message: "an address is https://HOST/PATH, hf://OWNER/NAME@COMMIT/PATH, s3://BUCKET/PATH, gs://BUCKET/PATH, az://ACCOUNT/CONTAINER/PATH, mlflow://HOST/MODEL/VERSION or oci://HOST/REPOSITORY: letters, digits and - . _ ~ + , without user, query and fragment",
        hint: "leave out what is not needed to find the file; a credential is given to the process, beside the prefix that it is for",
    }
    IMPORT_FILES {
        cel: "!has(self.files) || self.files.all(name, name.matches('^[A-Za-z0-9_][-A-Za-z0-9._+]{0,254}$'))",
        field: ".files",
        message: "a file beside the model is named by letters, digits and - . _ +, and by no folder",
        hint: "keep the files in the model's folder, and write their names as the model has them",
    }
    IMPORT_SIGNATURE {
        cel: "!has(self.signature) || self.signature.matches('^([^/.:]|[.][^/.:]|[.][.][^/:])[^/:]*(/([^/.:]|[.][^/.:]|[.][.][^/:])[^/:]*)*(@sha256:[0-9a-f]{64})?$|^https?://[A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]{1,5})?(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$|^hf://([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*@[0-9a-f]{40}(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$|^(s3|gs)://[a-z0-9][-a-z0-9._]*(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$|^az://[a-z0-9]+/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*(/([-A-Za-z0-9_~+,]|[.][-A-Za-z0-9_~+,]|[.][.][-A-Za-z0-9._~+,])[-A-Za-z0-9._~+,]*)+$')",
        field: ".signature",
        message: "a signature is a file of the commit, or lies at https://HOST/PATH, hf://OWNER/NAME@COMMIT/PATH, s3://BUCKET/PATH, gs://BUCKET/PATH or az://ACCOUNT/CONTAINER/PATH: letters, digits and - . _ ~ + , without user, query and fragment",
        hint: "commit the file in the manifest's folder or below it, and write its path from there: so it goes with a model of mlflow:// and oci:// too",
    }
    VERSION_OR_SCHEDULE {
        cel: "!(has(self.version) && has(self.schedule))",
        field: ".version",
        message: "a job has either a version or a schedule, not both",
        hint: "remove `version`: each scheduled run names its version after its slot; or remove `schedule` to train this version once",
    }
    DIGEST_OF_ABSOLUTE_PATH {
        cel: "!has(self.dataset) || !self.dataset.uri.startsWith('/') || has(self.dataset.sha256) || has(self.schedule)",
        field: ".dataset.uri",
        message: "a file outside the repository needs its sha256",
        hint: "add `sha256:` with the output of `sha256sum FILE`, so that what was reviewed is what is trained on",
    }
    METRIC_OF_CLASSES {
        cel: "!has(self.algorithm) || !has(self.evaluation) || self.algorithm == 'logistic_regression' || !(self.evaluation.metric in ['accuracy', 'log_loss'])",
        field: ".evaluation.metric",
        message: "the metric is one of classes, the algorithm predicts numbers",
        hint: "use r2, rmse or mae, or the algorithm logistic_regression",
    }
    METRIC_OF_NUMBERS {
        cel: "!has(self.algorithm) || !has(self.evaluation) || self.algorithm != 'logistic_regression' || self.evaluation.metric in ['accuracy', 'log_loss']",
        field: ".evaluation.metric",
        message: "the metric is one of numbers, the algorithm predicts classes",
        hint: "use accuracy or log_loss, or a regression algorithm",
    }
    UNIT_OF_CLASSES {
        cel: "!has(self.evaluation) || !has(self.dataset) || !(self.evaluation.metric in ['accuracy', 'log_loss']) || !has(self.dataset.target) || (!has(self.dataset.target.divideBy) && !has(self.dataset.target.unit))",
        field: ".dataset.target",
        message: "classes have no unit and cannot be divided",
        hint: "remove `divideBy` and `unit`",
    }
    ONE_BOUND {
        cel: "!(has(self.minimum) && has(self.maximum))",
        field: ".maximum",
        message: "an evaluation has one bound, not both `minimum` and `maximum`",
        hint: "keep `minimum` for r2 and accuracy, `maximum` for rmse, mae and log_loss",
    }
    NO_MINIMUM {
        cel: "!has(self.minimum) || has(self.maximum) || self.metric in ['r2', 'accuracy']",
        field: ".minimum",
        message: "the metric is better when lower: it has a `maximum`",
        hint: "write `maximum:` instead of `minimum:`",
    }
    NO_MAXIMUM {
        cel: "!has(self.maximum) || has(self.minimum) || self.metric in ['rmse', 'mae', 'log_loss']",
        field: ".maximum",
        message: "the metric is better when higher: it has a `minimum`",
        hint: "write `minimum:` instead of `maximum:`",
    }
    ONE_HOLDOUT {
        cel: "has(self.percent) != has(self.file)",
        field: "",
        message: "a holdout is either a `percent` of the rows or a `file`",
        hint: "write `{ percent: 20, seed: 0 }` or `{ file: PATH }`",
    }
    SEED_OF_FILE {
        cel: "!(has(self.seed) && has(self.file))",
        field: ".seed",
        message: "a holdout file is taken as it is: it has no seed",
        hint: "remove `seed`",
    }
    DIGEST_OF_PERCENT {
        cel: "!has(self.sha256) || has(self.file)",
        field: ".sha256",
        message: "only a holdout `file` has a sha256",
        hint: "remove `sha256`",
    }
    DIGEST_OF_HOLDOUT {
        cel: "!has(self.file) || !self.file.startsWith('/') || has(self.sha256)",
        field: ".file",
        message: "a file outside the repository needs its sha256",
        hint: "add `sha256:` with the output of `sha256sum FILE`",
    }
    FEATURES_OR_EXCLUDE {
        cel: "!(has(self.features) && has(self.exclude))",
        field: ".exclude",
        message: "inputs are either listed by `features` or all but `exclude`, not both",
        hint: "remove `exclude`: what `features` does not name is no input; or remove `features`",
    }
    ONE_DERIVATION {
        cel: "has(self.column) != has(self.ratio)",
        field: "",
        message: "a feature is either a `column` or a `ratio` of two",
        hint: "write `{ name: NAME, column: COLUMN }` or `{ name: NAME, ratio: [COLUMN, COLUMN] }`",
    }
    DIVISOR {
        cel: "!has(self.divideBy) || double(self.divideBy) != 0.0",
        field: ".divideBy",
        message: "a target is divided by a number other than 0",
        hint: "remove `divideBy` to leave the target as it is",
    }
    BUILTIN {
        cel: "!self.uri.startsWith('builtin:') || self.uri in ['builtin:iris', 'builtin:wine-quality']",
        field: ".uri",
        message: "there is no builtin dataset of this name",
        hint: "there are builtin:iris, builtin:wine-quality",
    }
    SYNTHETIC {
        cel: "!self.uri.startsWith('synthetic:') || self.uri in ['synthetic:blobs', 'synthetic:friedman1', 'synthetic:linear']",
        field: ".uri",
        message: "there is no synthetic dataset of this name",
        hint: "there are synthetic:blobs, synthetic:friedman1, synthetic:linear",
    }
    DIGEST_OF_NO_FILE {
        cel: "!has(self.sha256) || !(self.uri.startsWith('builtin:') || self.uri.startsWith('synthetic:'))",
        field: ".sha256",
        message: "data that is no file has no sha256",
        hint: "remove `sha256`",
    }
    TARGET_OF_FILE {
        cel: "has(self.target) || self.uri.startsWith('builtin:') || self.uri.startsWith('synthetic:')",
        field: "",
        message: "`target` is missing: a CSV file does not say which column is predicted",
        hint: "add `target: { column: COLUMN }`",
    }
    URI_IS_NO_URL {
        cel: "!self.uri.contains('://')",
        field: ".uri",
        message: "data is not fetched from a URL",
        hint: "commit the file beside the manifest, or give an absolute path and its sha256",
    }
    URI_PARTS {
        cel: "self.uri.contains('://') || !((self.uri + '/').contains('//') || ('/' + self.uri + '/').contains('/./') || ('/' + self.uri + '/').contains('/../'))",
        field: ".uri",
        message: "a path has no empty, '.' or '..' part",
        hint: "data of the commit lies in the manifest's folder or below it; other files have an absolute path and a sha256",
    }
    URI_KIND {
        cel: "!self.uri.contains(':') || self.uri.contains('://') || self.uri.startsWith('/') || self.uri.startsWith('builtin:') || self.uri.startsWith('synthetic:')",
        field: ".uri",
        message: "what stands before ':' is no kind of dataset",
        hint: "write builtin:NAME, synthetic:NAME or the path of a CSV file",
    }
    HOLDOUT_IS_NO_URL {
        cel: "!has(self.file) || !self.file.contains('://')",
        field: ".file",
        message: "data is not fetched from a URL",
        hint: "commit the file beside the manifest, or give an absolute path and its sha256",
    }
    HOLDOUT_PARTS {
        cel: "!has(self.file) || self.file.contains('://') || !((self.file + '/').contains('//') || ('/' + self.file + '/').contains('/./') || ('/' + self.file + '/').contains('/../'))",
        field: ".file",
        message: "a path has no empty, '.' or '..' part",
        hint: "data of the commit lies in the manifest's folder or below it; other files have an absolute path and a sha256",
    }
    HOLDOUT_KIND {
        cel: "!has(self.file) || self.file.startsWith('/') || self.file.contains('://') || !self.file.contains(':')",
        field: ".file",
        message: "a relative path has no ':'",
        hint: "rename the file, or give an absolute path and its sha256",
    }
    SIGNERS_OF_COMMITS {
        cel: "self.verify == 'Off' || has(self.allowedSigners) || has(self.keyring)",
        field: ".verify",
        message: "no file says who may sign",
        hint: "write `allowedSigners` (SSH keys) or `keyring` (OpenPGP keys), or `verify: Off`",
    }
    KEYS_OF_MODELS {
        cel: "self.verify == 'Off' || has(self.keys)",
        field: ".verify",
        message: "no file has the keys that may sign",
        hint: "write `keys: PATH` (public keys in PEM), or `verify: Off`",
    }
    KEYS_OF_FORGE {
        cel: "has(self.allowedSigners) || has(self.keyring)",
        field: "",
        message: "no file has the forge's keys",
        hint: "write `keyring` (GitHub signs with OpenPGP) or `allowedSigners`, or remove `forge`",
    }
    REGISTRY_PARTS {
        cel: "!has(self.path) || self.path.contains('://') || !((self.path + '/').contains('//') || ('/' + self.path + '/').contains('/./') || ('/' + self.path + '/').contains('/../'))",
        field: ".path",
        message: "a path has no empty, '.' or '..' part",
        hint: "write an absolute path, or one below the data directory",
    }
    REGISTRY_KIND {
        cel: "!has(self.path) || (self.path.startsWith('/') && !self.path.contains('://')) || !self.path.contains(':')",
        field: ".path",
        message: "a registry is no URL, and a relative path has no ':'",
        hint: "write an absolute path, or one below the data directory",
    }
}
