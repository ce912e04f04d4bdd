// The age-encryption client on standard input and output:
//   node age.mjs generate | recipient IDENTITY | encrypt RECIPIENT… | decrypt IDENTITY
// Identities are arguments here because they are made for one test and thrown away.
import { readFileSync, writeSync } from "node:fs";
import { Decrypter, Encrypter, generateHybridIdentity, identityToRecipient } from "age-encryption";

const [verb, ...keys] = process.argv.slice(2);

async function run() {
  switch (verb) {
    case "generate":
      return Buffer.from(await generateHybridIdentity());
    case "recipient":
      return Buffer.from(await identityToRecipient(keys[0]));
    case "encrypt": {
      const encrypter = new Encrypter();
      keys.forEach((key) => encrypter.addRecipient(key));
      return encrypter.encrypt(readFileSync(0));
    }
    case "decrypt": {
      const decrypter = new Decrypter();
      decrypter.addIdentity(keys[0]);
      return decrypter.decrypt(readFileSync(0), "uint8array");
    }
    default:
      throw new Error(`unknown verb ${verb}`);
  }
}

const output = await run();
for (let written = 0; written < output.length; ) written += writeSync(1, output, written);
