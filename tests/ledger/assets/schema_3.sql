BEGIN TRANSACTION;
CREATE TABLE approvals (
	run_id VARCHAR NOT NULL, 
	plan_digest VARCHAR NOT NULL, 
	wave INTEGER NOT NULL, 
	approved_by TEXT NOT NULL, 
	approved_at BIGINT NOT NULL, 
	PRIMARY KEY (run_id, plan_digest, wave), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id)
)
 WITHOUT ROWID

;
INSERT INTO "approvals" VALUES('00000001-0000-4000-8000-000000000000','digest',0,'curator',1795348935541);
CREATE TABLE control (
	run_id VARCHAR NOT NULL, 
	wanted VARCHAR NOT NULL, 
	concurrency INTEGER, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "control" VALUES('00000001-0000-4000-8000-000000000000','run',NULL);
INSERT INTO "control" VALUES('00000002-0000-4000-8000-000000000000','run',NULL);
CREATE TABLE executions (
	execution_id VARCHAR NOT NULL, 
	run_id VARCHAR NOT NULL, 
	process TEXT NOT NULL, 
	started_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	pace TEXT, 
	pace_at BIGINT, 
	PRIMARY KEY (execution_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id)
);
INSERT INTO "executions" VALUES('5dca221b-a282-411e-99e5-a51fa6855723','00000001-0000-4000-8000-000000000000','host:1',1795348935494,1795348995494,NULL,'{"rate":12.5,"eta_seconds":40.0,"concurrency":8,"note":"waiting: paused"}',1795348935546);
CREATE TABLE items (
	run_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	shard INTEGER NOT NULL, 
	dataset_id VARCHAR NOT NULL, 
	file_name VARCHAR NOT NULL, 
	"row" TEXT, 
	state VARCHAR NOT NULL, 
	version_seen VARCHAR, 
	version_after VARCHAR, 
	reasons TEXT NOT NULL, 
	inferred BOOLEAN NOT NULL, 
	attempt INTEGER NOT NULL, 
	sent_at BIGINT, 
	outcome_at BIGINT, 
	verified_at BIGINT, 
	PRIMARY KEY (run_id, seq), 
	FOREIGN KEY(run_id, shard) REFERENCES shards (run_id, shard), 
	UNIQUE (dataset_id, file_name, run_id)
)
 WITHOUT ROWID

;
INSERT INTO "items" VALUES('00000001-0000-4000-8000-000000000000',0,0,'d000000','',NULL,'applied','v1','v2-0','[]',0,1,1795348935513,1795348935518,1795348935518);
INSERT INTO "items" VALUES('00000001-0000-4000-8000-000000000000',1,0,'d000001','',NULL,'sent','v1',NULL,'[]',0,1,1795348935513,NULL,NULL);
INSERT INTO "items" VALUES('00000001-0000-4000-8000-000000000000',2,0,'d000002','',NULL,'planned','v1',NULL,'[]',0,0,NULL,NULL,NULL);
INSERT INTO "items" VALUES('00000001-0000-4000-8000-000000000000',3,1,'d000003','',NULL,'invalid',NULL,NULL,'["empty"]',0,0,NULL,1795348935526,NULL);
INSERT INTO "items" VALUES('00000001-0000-4000-8000-000000000000',4,1,'d000004','',NULL,'selected',NULL,NULL,'[]',0,0,NULL,NULL,NULL);
INSERT INTO "items" VALUES('00000001-0000-4000-8000-000000000000',5,1,'d000005','',NULL,'selected',NULL,NULL,'[]',0,0,NULL,NULL,NULL);
CREATE TABLE leases (
	catalog_key VARCHAR NOT NULL, 
	dataset_id VARCHAR NOT NULL, 
	run_id VARCHAR NOT NULL, 
	execution_id VARCHAR NOT NULL, 
	PRIMARY KEY (catalog_key, dataset_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(execution_id) REFERENCES executions (execution_id)
)
 WITHOUT ROWID

;
INSERT INTO "leases" VALUES('http://127.0.0.1:8000|i-1|9','d000001','00000001-0000-4000-8000-000000000000','5dca221b-a282-411e-99e5-a51fa6855723');
CREATE TABLE ledger_schema (
	version INTEGER NOT NULL, 
	applied_at BIGINT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "ledger_schema" VALUES(3,1795348935450);
CREATE TABLE plans (
	run_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	planned TEXT NOT NULL, 
	PRIMARY KEY (run_id, seq), 
	FOREIGN KEY(run_id, seq) REFERENCES items (run_id, seq)
);
INSERT INTO "plans" VALUES('00000001-0000-4000-8000-000000000000',0,'{"seen":{"dataset_id":"d000000","version_id":"v1","data_type":"Transcriptomics","data_format":"h5ad","data_location":"s3://atlas/data?versionId=1","metadata_location":"s3://atlas/metadata?versionId=1","study_id":null,"last_modified_at":1700000000000,"created_at":null},"creates":null,"ended":null,"patch":[{"op":"replace","path":"/organism","value":"Homo sapiens","before":"human"}],"wanted":{"metadata_digest":"d1","data_type":"Transcriptomics","data_format":"h5ad","data_location":"s3://atlas/data?versionId=1"},"data":null,"study":null,"deletes":false,"triggers":false,"priority":null,"attach":[],"detach":[],"files_before":[],"saves":[],"source":null,"side_effects":[],"not_recoverable":[]}');
INSERT INTO "plans" VALUES('00000001-0000-4000-8000-000000000000',1,'{"seen":{"dataset_id":"d000001","version_id":"v1","data_type":"Transcriptomics","data_format":"h5ad","data_location":"s3://atlas/data?versionId=1","metadata_location":"s3://atlas/metadata?versionId=1","study_id":null,"last_modified_at":1700000000000,"created_at":null},"creates":null,"ended":null,"patch":[{"op":"replace","path":"/organism","value":"Homo sapiens","before":"human"}],"wanted":{"metadata_digest":"d1","data_type":"Transcriptomics","data_format":"h5ad","data_location":"s3://atlas/data?versionId=1"},"data":null,"study":null,"deletes":false,"triggers":false,"priority":null,"attach":[],"detach":[],"files_before":[],"saves":[],"source":null,"side_effects":[],"not_recoverable":[]}');
INSERT INTO "plans" VALUES('00000001-0000-4000-8000-000000000000',2,'{"seen":{"dataset_id":"d000002","version_id":"v1","data_type":"Transcriptomics","data_format":"h5ad","data_location":"s3://atlas/data?versionId=1","metadata_location":"s3://atlas/metadata?versionId=1","study_id":null,"last_modified_at":1700000000000,"created_at":null},"creates":null,"ended":null,"patch":[{"op":"replace","path":"/organism","value":"Homo sapiens","before":"human"}],"wanted":{"metadata_digest":"d1","data_type":"Transcriptomics","data_format":"h5ad","data_location":"s3://atlas/data?versionId=1"},"data":null,"study":null,"deletes":false,"triggers":false,"priority":null,"attach":[],"detach":[],"files_before":[],"saves":[],"source":null,"side_effects":[],"not_recoverable":[]}');
CREATE TABLE runs (
	run_id VARCHAR NOT NULL, 
	catalog_key VARCHAR NOT NULL, 
	spec TEXT NOT NULL, 
	spec_digest VARCHAR NOT NULL, 
	options TEXT NOT NULL, 
	state VARCHAR NOT NULL, 
	stop VARCHAR, 
	message TEXT NOT NULL, 
	plan_digest VARCHAR, 
	total INTEGER, 
	created_at BIGINT NOT NULL, 
	finished_at BIGINT, 
	seconds DOUBLE NOT NULL, 
	flow_run_ids TEXT NOT NULL, 
	origin_run_id VARCHAR, 
	copies_from VARCHAR, 
	broken INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(origin_run_id) REFERENCES runs (run_id)
);
INSERT INTO "runs" VALUES('00000001-0000-4000-8000-000000000000','http://127.0.0.1:8000|i-1|9','{"catalog":{"api_url":"http://127.0.0.1:8000","atlas_id":"9","instance_id":"i-1"},"operation":"update","change":{"steps":["organism"]},"selection":{"study":null,"where":null,"ids":null,"ids_uri":null,"manifest_uri":null,"failures_of":null,"written_by":null,"source_digest":null},"files":{},"change_uri":null}','4c028d9f3a1c8bb17a2fc0036ebcb03d22ae4b4f227ed8ad777150b0bdca7e22','{"concurrency":64,"shard_size":500,"budget":{"value":10.0,"percent":true,"minimum_sample":100},"budgets":{},"tolerate":{"value":0.0,"percent":false,"minimum_sample":100},"verify":"auto","on_lease":"refuse","priority":null,"waves":[],"approval":"none","repeat_unknown":false,"assertions":[],"patience":300.0}','selected',NULL,'','digest',6,1795348935458,NULL,0.0,'[]',NULL,NULL,0);
INSERT INTO "runs" VALUES('00000002-0000-4000-8000-000000000000','http://127.0.0.1:8000|i-1|9','{"catalog":{"api_url":"http://127.0.0.1:8000","atlas_id":"9","instance_id":"i-1"},"operation":"update","change":{"steps":["organism"]},"selection":{"study":null,"where":null,"ids":null,"ids_uri":null,"manifest_uri":null,"failures_of":null,"written_by":null,"source_digest":null},"files":{},"change_uri":null}','4c028d9f3a1c8bb17a2fc0036ebcb03d22ae4b4f227ed8ad777150b0bdca7e22','{"concurrency":64,"shard_size":500,"budget":{"value":10.0,"percent":true,"minimum_sample":100},"budgets":{},"tolerate":{"value":0.0,"percent":false,"minimum_sample":100},"verify":"auto","on_lease":"refuse","priority":null,"waves":[],"approval":"none","repeat_unknown":false,"assertions":[],"patience":300.0}','selecting',NULL,'',NULL,NULL,1795348935558,NULL,0.0,'[]','00000001-0000-4000-8000-000000000000',NULL,0);
CREATE TABLE shards (
	run_id VARCHAR NOT NULL, 
	shard INTEGER NOT NULL, 
	first_seq INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	pages TEXT NOT NULL, 
	owner VARCHAR, 
	epoch INTEGER NOT NULL, 
	done BOOLEAN NOT NULL, 
	PRIMARY KEY (run_id, shard), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	FOREIGN KEY(owner) REFERENCES executions (execution_id)
);
INSERT INTO "shards" VALUES('00000001-0000-4000-8000-000000000000',0,0,3,'[null]','5dca221b-a282-411e-99e5-a51fa6855723',1,0);
INSERT INTO "shards" VALUES('00000001-0000-4000-8000-000000000000',1,3,3,'[null]',NULL,1,0);
CREATE TABLE steps (
	run_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	result TEXT NOT NULL, 
	PRIMARY KEY (run_id, seq, position), 
	FOREIGN KEY(run_id, seq) REFERENCES items (run_id, seq)
)
 WITHOUT ROWID

;
INSERT INTO "steps" VALUES('00000001-0000-4000-8000-000000000000',1,0,'{"step":"data","location":"s3://new","sha256":null,"version_id":null}');
CREATE TABLE tallies (
	run_id VARCHAR NOT NULL, 
	shard INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	items INTEGER NOT NULL, 
	verified INTEGER NOT NULL, 
	PRIMARY KEY (run_id, shard, state), 
	FOREIGN KEY(run_id, shard) REFERENCES shards (run_id, shard)
)
 WITHOUT ROWID

;
INSERT INTO "tallies" VALUES('00000001-0000-4000-8000-000000000000',0,'applied',1,1);
INSERT INTO "tallies" VALUES('00000001-0000-4000-8000-000000000000',0,'planned',1,0);
INSERT INTO "tallies" VALUES('00000001-0000-4000-8000-000000000000',0,'selected',0,0);
INSERT INTO "tallies" VALUES('00000001-0000-4000-8000-000000000000',0,'sent',1,0);
INSERT INTO "tallies" VALUES('00000001-0000-4000-8000-000000000000',1,'invalid',1,0);
INSERT INTO "tallies" VALUES('00000001-0000-4000-8000-000000000000',1,'selected',2,0);
CREATE INDEX ix_runs_origin_run_id ON runs (origin_run_id);
CREATE INDEX ix_executions_run_id ON executions (run_id);
CREATE INDEX ix_shards_owner ON shards (owner);
CREATE INDEX ix_leases_execution_id ON leases (execution_id);
CREATE INDEX items_in_doubt ON items (dataset_id) WHERE state IN ('sent', 'unknown');
COMMIT;
