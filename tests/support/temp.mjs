// Loaded by mocha before any test file (.mocharc.json), also in its workers: a run's temporary files lie in one folder that goes with it.
import { ownTemp } from '../../scripts/lib/temp.mjs';

ownTemp();
