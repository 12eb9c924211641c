/** What can be known of another process by its id. */
import { readFileSync } from 'node:fs';

/** Whether there is a process of this id, also one of another user. Ids are given out again: `startTime` tells two of them apart. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a process started, in clock ticks since the machine did (field 22 of /proc/PID/stat); undefined where there is no such thing. */
export function startTime(pid: number): string | undefined {
  try {
    // The second field is the program's name in brackets, in which anything may stand.
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop()?.split(' ')[19];
  } catch (_error) {
    return undefined; // gone, or no /proc on this platform
  }
}
