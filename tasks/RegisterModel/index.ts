import { main } from '../../src/task/host.js';
import { parse } from './inputs.js';
import { run } from './run.js';

void main({ name: 'RegisterModel', parse, run });
