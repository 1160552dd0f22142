import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { attr, type StoryAttributes } from "@holdfast/core";
import { defaultResource, resourceAttributesEnvDetector } from "@opentelemetry/resources";
import type { TelemetryOptions } from "./telemetry.ts";

/**
 * The resource's attributes, flat: option over environment over default. No detector of it is asynchronous, so that a
 * crash recorder has them whole from the first moment.
 */
export function describeResource(
  options: Pick<TelemetryOptions, "service" | "namespace" | "instance" | "version" | "resource">,
  env: NodeJS.ProcessEnv = process.env,
): StoryAttributes {
  const named = resourceAttributesEnvDetector.detect().attributes as StoryAttributes;
  const described: Record<string, StoryAttributes[string]> = {
    ...(defaultResource().attributes as StoryAttributes),
    "telemetry.distro.name": "holdfast",
    "host.name": hostname(),
    "process.pid": process.pid,
    // In a container the pid is 1 again and again: only this tells two lives of one instance apart.
    "process.creation.time": new Date(performance.timeOrigin).toISOString(),
    "process.runtime.name": "nodejs",
    "process.runtime.version": process.versions.node,
    [attr.serviceInstanceId]: env.HOSTNAME || randomUUID(),
    ...named,
    ...options.resource,
    [attr.serviceName]: options.service,
  };
  if (options.namespace !== undefined) described[attr.serviceNamespace] = options.namespace;
  if (options.instance !== undefined) described[attr.serviceInstanceId] = options.instance;
  if (options.version !== undefined) described[attr.serviceVersion] = options.version;
  for (const [key, value] of Object.entries(described)) if (value === undefined) delete described[key];
  return described;
}
