/**
 * What environments mean on a laptop: curated environments, images and conda names as pip requirements. A user adds rows in
 * `environments.yml` of the state folder (or the file that AMLOPS_ENVIRONMENTS names), see docs/engine.md.
 */

export interface EnvironmentRow {
  /** Matched without regard to case against the environment's name or the image without tag and registry host; `*` stands for anything. */
  match: string;
  requirements: string[];
  /** Said in the build log. */
  note?: string;
}

/** What every curated environment of this family brings; with scikit-learn goes skops, which the current `mlflow.sklearn` saves models with. */
const common = ['azureml-mlflow', 'pandas', 'numpy', 'scipy', 'joblib', 'psutil', 'tqdm'];

/** Curated environments of the registry `azureml`, by name. Versions are those of the name; the rest is what the host's Python gets. */
export const curated: readonly EnvironmentRow[] = [
  { match: 'sklearn-1.5', requirements: [...common, 'scikit-learn~=1.5.0', 'skops', 'matplotlib', 'pyarrow'] },
  { match: 'AzureML-sklearn-1.5*', requirements: [...common, 'scikit-learn~=1.5.0', 'skops', 'matplotlib', 'pyarrow'] },
  {
    match: 'AzureML-sklearn-1.0*',
    requirements: [...common, 'scikit-learn', 'skops', 'matplotlib', 'pyarrow'],
    note: 'scikit-learn 1.0 does not run on this Python: the newest is used',
  },
  {
    match: 'sklearn-1.1',
    requirements: [...common, 'scikit-learn', 'skops', 'matplotlib', 'pyarrow'],
    note: 'scikit-learn: the newest is used',
  },
  {
    match: 'AzureML-lightgbm-3.3*',
    requirements: [...common, 'lightgbm~=3.3.0', 'scikit-learn~=1.5.0', 'skops', 'matplotlib'],
  },
  { match: 'lightgbm-3.3', requirements: [...common, 'lightgbm~=3.3.0', 'scikit-learn~=1.5.0', 'skops', 'matplotlib'] },
  { match: 'python-sdk-v2', requirements: ['azureml-mlflow', 'azure-ai-ml', 'azure-identity'] },
];

/** Base images, by name without registry host and tag. A conda file or a Dockerfile's pip lines come on top. */
export const images: readonly EnvironmentRow[] = [
  { match: 'python', requirements: [] },
  { match: 'library/python', requirements: [] },
  { match: 'azureml/openmpi*', requirements: [] },
  { match: 'azureml/minimal-*', requirements: [] },
  { match: 'azureml/base*', requirements: [] },
  { match: 'azureml/curated/sklearn-1.5*', requirements: [...common, 'scikit-learn~=1.5.0', 'skops', 'matplotlib', 'pyarrow'] },
  {
    match: 'azureml/curated/lightgbm-3.3*',
    requirements: [...common, 'lightgbm~=3.3.0', 'scikit-learn~=1.5.0', 'skops', 'matplotlib'],
  },
];

/** conda name → name on the package index; null = nothing that pip could install. */
export const condaToPip: Readonly<Record<string, string | null>> = {
  _libgcc_mutex: null,
  _openmp_mutex: null,
  blas: null,
  'c-compiler': null,
  cmake: 'cmake',
  compilers: null,
  cudatoolkit: null,
  cudnn: null,
  'cxx-compiler': null,
  fastparquet: 'fastparquet',
  faiss: 'faiss-cpu',
  ffmpeg: null,
  gcc_linux: null,
  'gcc_linux-64': null,
  git: null,
  graphviz: null,
  'gxx_linux-64': null,
  libgcc: null,
  'libgcc-ng': null,
  libgomp: null,
  libstdcxx: null,
  'libstdcxx-ng': null,
  'lightgbm-cpu': 'lightgbm',
  make: null,
  'matplotlib-base': 'matplotlib',
  mkl: null,
  msgpack: 'msgpack',
  'msgpack-python': 'msgpack',
  'mlflow-skinny': 'mlflow-skinny',
  nodejs: null,
  nomkl: null,
  openjdk: null,
  openssl: null,
  'pillow-simd': 'pillow',
  'py-opencv': 'opencv-python-headless',
  'py-xgboost': 'xgboost',
  'py-xgboost-cpu': 'xgboost',
  pyarrow: 'pyarrow',
  'pyarrow-core': 'pyarrow',
  pytables: 'tables',
  'python-dateutil': 'python-dateutil',
  'python-graphviz': 'graphviz',
  pytorch: 'torch',
  'pytorch-cpu': 'torch',
  'pytorch-cuda': null,
  pytorch_lightning: 'pytorch-lightning',
  'ruamel.yaml': 'ruamel.yaml',
  setuptools: 'setuptools',
  'seaborn-base': 'seaborn',
  tensorboard: 'tensorboard',
  'tensorflow-base': 'tensorflow',
  'tensorflow-gpu': 'tensorflow',
  'torchvision-cpu': 'torchvision',
  opencv: 'opencv-python-headless',
  'xgboost-cpu': 'xgboost',
  wheel: 'wheel',
};

/** First row whose pattern fits. */
export function findRow(rows: readonly EnvironmentRow[], name: string): EnvironmentRow | undefined {
  return rows.find(({ match }) =>
    new RegExp(`^${match.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*')}$`, 'i').test(name),
  );
}

/** Image name without registry host, tag and digest: `mcr.microsoft.com/azureml/openmpi4.1.0:latest` → `azureml/openmpi4.1.0`. */
export function imageName(image: string): string {
  const bare = image
    .trim()
    .replace(/@sha256:[0-9a-f]+$/i, '')
    .replace(/:[\w][\w.-]*$/, '');
  const [first = '', ...rest] = bare.split('/');
  return rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost') ? rest.join('/') : bare;
}
