/** Job names made up when neither caller nor file gives one: adjective_noun_suffix, as the client's look. */
import { randomInt } from 'node:crypto';

const ADJECTIVES =
  'able amber bold brave bright calm clever cool crisp eager fair fast fine gentle happy honest jolly kind light lively lucky mellow neat nice placid plain proud quick quiet ready silent simple smart solid sunny swift tender tidy warm wise witty'.split(
    ' ',
  );
const NOUNS =
  'apple arch beach bell berry bird boat book brook cactus car cloud corn cup dish door drop fig flag forest garden glove hat iron jar key kite lamp leaf lemon lock map moon nail oak ocean onion orange peach pear pen plum pot river rose root sail seed shoe sky snow soil spoon star stone sun tail tent tree vase wheel'.split(
    ' ',
  );
const ALPHABET = 'bcdfghjklmnpqrstvwxyz0123456789';

/** A name that no other job has, e.g. `calm_river_x4kd92wq7p`. */
export function generateName(): string {
  const pick = (list: readonly string[]): string => list[randomInt(list.length)] ?? '';
  const suffix = Array.from({ length: 10 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
  return `${pick(ADJECTIVES)}_${pick(NOUNS)}_${suffix}`;
}
