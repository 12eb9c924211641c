/** The shapes in which a secret turns up in output, and what of it proves a leak (task-contract B.9). */

/** Shorter ones occur by chance: they are masked, but seeing one proves no leak. */
const shortestProof = 6;
/** A part of a secret that stands between ampersands is often public (`comp=list`): only a long one proves anything. */
const shortestPartProof = 16;

/** Values that everybody prints, secret variable or not. */
const everyday = new Set(
  (
    'default master develop development testing staging production preview release latest stable public private windows ubuntu ' +
    'localhost 127.0.0.1 enabled disabled undefined success succeeded failed canceled azureml azurecloud eastus eastus2 westus ' +
    'westus2 westus3 westeurope northeurope centralus uksouth swedencentral subscription resourcegroup'
  ).split(' '),
);

/** Could this value be seen in a log without having been leaked? Short, of one or two characters only, or an everyday word. */
function isCommon(value: string): boolean {
  const text = value.trim();
  return text.length < shortestProof || new Set(text).size < 3 || everyday.has(text.toLowerCase());
}

/** Base64 of text that stands at any offset of a longer encoded text: the part of it that does not depend on the neighbours. */
function base64Forms(value: string): string[] {
  const bytes = Buffer.from(value, 'utf8');
  const forms = [bytes.toString('base64'), bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url')];
  // Pieces of a short value would be found everywhere.
  if (value.length < shortestProof) return forms;
  for (const shift of [0, 1, 2]) {
    const padded = Buffer.concat([Buffer.alloc(shift), bytes]);
    const skip = Math.ceil((shift * 8) / 6);
    const keep = Math.floor(((shift + bytes.length) * 8) / 6);
    for (const encoding of ['base64', 'base64url'] as const) {
      const piece = padded.toString(encoding).slice(skip, keep);
      if (piece.length >= shortestProof) forms.push(piece);
    }
  }
  return forms;
}

const unicodeEscape = (character: string, upper: boolean): string =>
  [...Array(character.length).keys()]
    .map((at) => {
      const digits = character.charCodeAt(at).toString(16).padStart(4, '0');
      return `\\u${upper ? digits.toUpperCase() : digits}`;
    })
    .join('');

/** As JSON writers spell it: plain, ASCII only (Python), safe for the web (.NET, Go), with `\/`. */
function jsonForms(value: string): string[] {
  const json = JSON.stringify(value).slice(1, -1);
  const ascii = (upper: boolean, more: RegExp): string =>
    json.replace(/[^\u0000-\u007e]/gu, (one) => unicodeEscape(one, upper)).replace(more, (one) => unicodeEscape(one, upper));
  const dotnet = JSON.stringify(value.replaceAll('"', '\u0001')).slice(1, -1).replaceAll('\\u0001', '\\u0022');
  return [
    json,
    json.replaceAll('/', '\\/'),
    ascii(false, /(?!)/g),
    ascii(false, /[<>&]/g),
    dotnet.replace(/[<>&+'`]|[^\u0000-\u007e]/gu, (one) => unicodeEscape(one, true)),
  ];
}

const lowerHex = (text: string): string => text.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase());

/** As part of an address or of a form: JavaScript, .NET (also `!'()*`), blanks as plus, hexadecimal digits in either case. */
function uriForms(value: string): string[] {
  const component = encodeURIComponent(value);
  const strict = component.replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
  const form = strict.replaceAll('%20', '+');
  const whole = encodeURI(value);
  return [component, strict, form, whole].flatMap((text) => [text, lowerHex(text)]);
}

function xmlForms(value: string): string[] {
  const text = value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const quoted = text.replaceAll('"', '&quot;');
  return [text, quoted, ...['&apos;', '&#39;', '&#x27;'].map((apostrophe) => quoted.replaceAll("'", apostrophe))];
}

/** As values of logging commands: data, data while percent signs stay (`DECODE_PERCENTS`), properties. */
function commandForms(value: string): string[] {
  const lines = (text: string): string => text.replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  const marks = (text: string): string => text.replaceAll(']', '%5D').replaceAll(';', '%3B');
  const data = lines(value.replaceAll('%', '%AZP25'));
  return [data, lines(value), marks(data), marks(lines(value))];
}

/**
 * PowerShell colours the place of an error and so cuts a secret at an ampersand: what stands before it, and after it. After `&+` the colour
 * takes the next character too.
 */
function powerShellParts(value: string): string[] {
  const joined = value.indexOf('&+');
  if (joined >= 0) return [value.slice(0, joined + 2), value.slice(joined + 3)];
  const last = value.lastIndexOf('&');
  return last < 0 ? [] : [value.slice(0, last + 1), value.slice(last + 1)];
}

/** Frames around keys and certificates: everybody's. */
const isFrame = (line: string): boolean => /^-----(BEGIN|END) [A-Z0-9 ]+-----$/.test(line) || !/[\p{L}\p{N}]/u.test(line);

interface SecretForm {
  text: string;
  /** Seeing it in unmasked output means that the secret was printed. */
  proof: boolean;
}

/** Every form of a secret that is masked. Empty for an empty one. */
export function secretForms(secret: string): SecretForm[] {
  if (secret.trim() === '') return [];
  const forms = new Map<string, boolean>();
  // Half a character (a lone surrogate) can be in no output: it is written as U+FFFD.
  const value = Buffer.from(secret, 'utf8').toString('utf8');
  const common = isCommon(value);
  const add = (text: string, proof: boolean): void => {
    if (text.trim() !== '') forms.set(text, (forms.get(text) ?? false) || proof);
  };
  const quoted = /^(["'])([\s\S]+)\1$/.exec(value)?.[2];
  for (const whole of [value, value.trim(), ...(quoted ? [quoted] : [])]) {
    const encodings = [
      whole,
      ...jsonForms(whole),
      ...uriForms(whole),
      ...xmlForms(whole),
      ...commandForms(whole),
      whole.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('"', '\\"'),
      whole.replaceAll("'", "''"),
      whole.replaceAll("'", "'\\''"),
      ...base64Forms(whole),
    ];
    for (const form of encodings) add(form, !common && form.length >= shortestProof);
  }
  for (const part of powerShellParts(value))
    if (part.length >= shortestProof) add(part, !common && part.length >= shortestPartProof && !isCommon(part));
  // A log shows a value of several lines one line at a time.
  const lines = value.split(/\r\n|\r|\n/).map((line) => line.trim());
  if (lines.length > 1)
    for (const line of lines) {
      if (line.length < shortestProof) continue;
      const proof = !isCommon(line) && !isFrame(line);
      for (const form of [line, ...jsonForms(line), ...xmlForms(line), ...uriForms(line)]) add(form, proof);
    }
  return [...forms].map(([text, proof]) => ({ text, proof }));
}
